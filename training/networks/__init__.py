"""The networks this project trains. Each module is one architecture and its factories."""
