"""submitit's executor, for commands of ours. Importing this imports submitit, which is an extra and takes its time.

submitit knows how to write a batch script and how to call sbatch. The rest of it is left out: its constructor refuses a
machine without srun, where a script may well be wanted; its `submit` pickles a function; its wckey "submitit" is
refused by clusters that keep wckeys; and its arrays run 256 elements at a time, whatever was asked for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import submitit

from lthsweep.errors import ClusterSilentError

__all__ = ["ScriptExecutor"]


class ScriptExecutor(submitit.SlurmExecutor):
    """Writes scripts and the command that submits one; runs nothing itself."""

    @classmethod
    def affinity(cls) -> int:
        """A script can be written anywhere."""
        return 2

    def text(self, command: str, **parameters: Any) -> str:
        """The batch script that runs a shell command with submitit's parameters."""
        self.update_parameters(wckey=None, use_srun=False, stderr_to_stdout=True, **parameters)
        return self._make_submission_file_text(command, uid="")

    def command(self, script: Path) -> list[str]:
        """What submits a script; it prints the id alone."""
        program, *arguments = self._make_submission_command(script)
        return [program, "--parsable", *arguments]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        """The id in what `sbatch --parsable` printed, "123" or "123;cluster", whatever a site adds around it.

        Raises:
            ClusterSilentError: if there is none.
        """
        text = string if isinstance(string, str) else string.decode(errors="replace")
        numbers = re.findall(r"^(\d+)(?:;\S*)?$", text, re.MULTILINE)
        if len(numbers) != 1:
            raise ClusterSilentError(f"sbatch printed no job id, but {text[:200]!r}")
        return str(numbers[0])

    def job_id(self, printed: str) -> str:
        """See above."""
        return self._get_job_id_from_submission_command(printed)
