"""Somebody with an account and a session."""

from dataclasses import dataclass

__all__ = ["PASSWORD", "SignedIn"]

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class SignedIn:
    """A logged-in account."""

    email: str
    user_id: str
    session_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}
