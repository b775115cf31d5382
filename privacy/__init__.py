"""What a release reveals about the patients behind it: attacks, their controls, and a report that says what was not tested.

`from privacy import audit` is the command `privacy audit` for programs (`privacy.auditing`).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privacy.auditing import audit
    from privacy.config import AuditConfig
    from privacy.report.schema import AuditReport

__all__ = ["AuditConfig", "AuditReport", "audit"]


def __getattr__(name: str) -> object:
    """Import what is asked for, and nothing before: `privacy --help` is quick."""
    if name == "audit":
        from privacy.auditing import audit

        return audit
    if name == "AuditConfig":
        from privacy.config import AuditConfig

        return AuditConfig
    if name == "AuditReport":
        from privacy.report.schema import AuditReport

        return AuditReport
    raise AttributeError(f"module 'privacy' has no attribute '{name}'")
