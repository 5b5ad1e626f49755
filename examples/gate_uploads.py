"""Gate uploads in a web handler: pictures and clips below a quality are turned away, whatever was done to them.

    pip install fastapi uvicorn python-multipart
    uvicorn --app-dir examples gate_uploads:app
    curl -F file=@build/demo/astronaut.png http://127.0.0.1:8000/uploads

200: certainly good enough; 422: certainly not, or not certain, or not a picture or a clip; 413: too large. The answer
holds for every frame within ε of what came, so an uploader who changes pixels to please the metric gains nothing by
changes within ε. Each try of a changed frame meets new noise, so ``ALPHA`` is small: all tries count (docs/trust.md).

FastAPI runs a handler that is no coroutine in a pool of threads. One certifier serves all of them: it scores for one at
a time, with all cores.
"""

# %% What is asked, and of which model
from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, Request, UploadFile

from runtime import BiqaError, Certifier, FileFrames

MODEL = os.environ.get("BIQA_MODEL")
AT_LEAST = float(os.environ.get("BIQA_AT_LEAST", "60"))
MOST_BYTES = 64 * 2**20
MOST_FRAMES = 300
ALPHA = 1e-6
"""Error of one answer: of a thousand answers all are right at once, but with probability 0.001 at most."""


# %% One certifier for the life of the server
@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[None]:
    with Certifier(MODEL, alpha=ALPHA) as certifier:
        app.state.certifier = certifier
        yield


# %% The handler
def upload(request: Request, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Keep the file if its score is certainly at least ``AT_LEAST``."""
    if (file.size or 0) > MOST_BYTES:
        raise HTTPException(413, f"a file has {MOST_BYTES} bytes at most")
    with tempfile.NamedTemporaryFile() as kept:  # no name of the client's becomes a path
        shutil.copyfileobj(file.file, kept)
        kept.flush()
        try:
            frames = FileFrames(Path(kept.name))
            if len(frames) > MOST_FRAMES:
                raise HTTPException(413, f"a clip has {MOST_FRAMES} frames at most, this one has {len(frames)}")
            gate = request.app.state.certifier.gate(frames, at_least=AT_LEAST)
        except BiqaError as error:
            raise HTTPException(422, str(error).replace(kept.name, file.filename or "the file")) from None
    answer = {"decision": gate.decision, "at_least": AT_LEAST, **gate.pooled.to_dict()}
    if gate.decision != "pass":
        raise HTTPException(422, answer)
    return answer


# %% The server
app = FastAPI(title="uploads of a certified quality", lifespan=opened)
app.add_api_route("/uploads", upload, methods=["POST"])
