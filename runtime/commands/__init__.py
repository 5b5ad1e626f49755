"""The command line, one command a module: ``add(subparsers)`` declares it, ``run(options)`` does it."""
