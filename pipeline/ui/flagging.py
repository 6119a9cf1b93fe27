"""Flags on attempts: the only two things that a page can change."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from pipeline.errors import ConfigError
from pipeline.store.flags import KINDS
from pipeline.ui.site import site_of

router = APIRouter()


@router.post("/experiments/{experiment}/rationales/{rationale_id}/flags")
async def flag(request: Request, experiment: str, rationale_id: str) -> Response:
    """Put a flag on an attempt."""
    site = site_of(request)
    fields = await site.tokens.checked_form(request)
    kind, note = fields.get("kind", ""), fields.get("note", "")
    if kind not in KINDS:
        raise ConfigError(f"choose what the flag says: one of {', '.join(KINDS)}")
    author = site.author(request)
    await to_thread.run_sync(
        lambda: site.store.flag(experiment, rationale_id, kind=kind, author=author, note=note)
    )
    return _back(request, experiment, rationale_id)


@router.post("/experiments/{experiment}/rationales/{rationale_id}/flags/{flag_id}/withdraw")
async def withdraw(request: Request, experiment: str, rationale_id: str, flag_id: str) -> Response:
    """Take a flag back."""
    site = site_of(request)
    await site.tokens.checked_form(request)
    author = site.author(request)
    await to_thread.run_sync(lambda: site.store.withdraw_flag(flag_id, author=author))
    return _back(request, experiment, rationale_id)


def _back(request: Request, experiment: str, rationale_id: str) -> Response:
    base = request.scope.get("root_path", "").rstrip("/")
    return RedirectResponse(f"{base}/experiments/{experiment}/rationales/{rationale_id}#flags", 303)
