"""What goes wrong between here and the Hub: what may pass is tried again, the rest is said in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Result = TypeVar("Result")
Say = Callable[[str], None]

PASSING = frozenset({408, 409, 412, 425, 429})
"""HTTP answers after which another attempt may succeed, besides all of 500 and above. 412: somebody else's commit came
between; the next attempt looks at the repository again."""


@dataclass(frozen=True)
class Patience:
    """How often something is tried, and how long the waits between grow (doubling)."""

    attempts: int = 6
    first_s: float = 1.0
    most_s: float = 30.0

    def wait(self, failures: int) -> float:
        """Seconds before the next attempt, after so many failures in a row.

        >>> [Patience().wait(n) for n in (1, 2, 3, 7)]
        [1.0, 2.0, 4.0, 30.0]
        """
        return min(self.first_s * 2 ** (failures - 1), self.most_s)


class Refused(ValueError):
    """The Hub, or what is there, does not allow it; one line with what to do."""


class Unequal(RuntimeError):
    """The Hub does not hold what was sent."""


def persist(step: Callable[[], Result], progress: Callable[[], int], patience: Patience, say: Say) -> Result:
    """The result of a step that can be repeated, tried again while its failures may pass.

    Failures in a row are counted; ``progress`` growing between two of them starts the count anew. What does not pass is
    raised as it is.
    """
    failures, before = 0, progress()
    while True:
        try:
            return step()
        except hub_errors() as error:
            now = progress()
            failures = 1 if now > before else failures + 1
            before = now
            if not passing(error) or failures >= patience.attempts:
                raise
            wait = patience.wait(failures)
            say(f"{brief(error)}; trying again in {wait:g} s ({failures} of {patience.attempts - 1})")
            time.sleep(wait)


def hub_errors() -> tuple[type[Exception], ...]:
    """What the Hub's client raises: its HTTP library's errors, RuntimeError around those of an upload, and
    JSONDecodeError where an error page stands in for an answer."""
    from huggingface_hub.errors import HfHubHTTPError

    library = next(base for base in HfHubHTTPError.__bases__ if base is not OSError)
    return library, OSError, RuntimeError, json.JSONDecodeError


def passing(error: BaseException) -> bool:
    """Whether another attempt may succeed."""
    found = _answer(error)
    if found is not None:
        expired = (
            found.request.method == "PUT"
        )  # storage addresses are signed for some hours; the next try gets new ones
        return expired or found.status_code in PASSING or found.status_code >= 500
    return not any(isinstance(e, OSError) and e.filename for e in _chain(error))  # a file of this machine


def _answer(error: BaseException) -> Any:
    """The HTTP response behind an error, None where no answer came."""
    return next((e.response for e in _chain(error) if getattr(e, "response", None) is not None), None)  # type: ignore[attr-defined]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def brief(error: BaseException) -> str:
    """An error in one line, without addresses that carry signatures."""
    found = _answer(error)
    if isinstance(error, Unequal):
        return str(error)
    if found is not None:
        said = next((e.server_message for e in _chain(error) if getattr(e, "server_message", None)), "")  # type: ignore[attr-defined]
        return f"the Hub answered {found.status_code}" + (f" ({' '.join(said.split())})" if said else "")
    deepest = list(_chain(error))[-1]
    return " ".join(f"no answer from the Hub ({type(deepest).__name__}: {deepest})".split())[:300]


def explained(error: Exception, repo: str, endpoint: str) -> Exception:
    """The error with its remedy: Refused, or ConnectionError where another try may help."""
    found = _answer(error)
    code = None if found is None else found.status_code
    if code == 401:
        return Refused(
            f"{endpoint} does not accept the token; make one with the role write at {endpoint}/settings/tokens, "
            "then set HF_TOKEN or run: hf auth login"
        )
    if code == 402:
        return Refused(f"datasets/{repo}: {brief(error)}: the account's plan or storage does not allow it; see "
                       f"{endpoint}/settings/billing")  # fmt: skip
    if code in (403, 404):
        return Refused(
            f"datasets/{repo}: {brief(error)}: the token may not write there; use one with the role write, of "
            f"somebody who may write for {repo.split('/')[0]!r}, or choose another name"
        )
    if not passing(error):
        return error if code is None else Refused(f"datasets/{repo}: {brief(error)}")
    return ConnectionError(
        f"{brief(error)}; check the connection to {endpoint} and run the same command again: what has been uploaded "
        "is not sent twice"
    )
