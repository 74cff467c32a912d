"""submitit's executor for shell commands. Importing this module imports submitit, an optional and slow dependency.

Only submitit's batch script and its call of sbatch are used. Its constructor refuses machines without srun, where users
still want to see scripts; its `submit` pickles a function; clusters that check wckeys refuse its wckey "submitit"; and
its arrays run 256 elements at a time, whatever the caller requests.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import submitit

from lthsweep.errors import ClusterSilentError

__all__ = ["ScriptExecutor"]


class ScriptExecutor(submitit.SlurmExecutor):
    """Writes scripts and the command that submits them; runs nothing itself."""

    @classmethod
    def affinity(cls) -> int:
        """Return 2, submitit's value for an available executor: scripts can be written on any machine."""
        return 2

    def text(self, command: str, **parameters: Any) -> str:
        """Return the batch script that runs a shell command with submitit's parameters."""
        self.update_parameters(wckey=None, use_srun=False, stderr_to_stdout=True, **parameters)
        return self._make_submission_file_text(command, uid="")

    def command(self, script: Path) -> list[str]:
        """Return the command that submits a script and prints only the job id."""
        program, *arguments = self._make_submission_command(script)
        return [program, "--parsable", *arguments]

    @staticmethod
    def _get_job_id_from_submission_command(string: bytes | str) -> str:
        """Return the id in the output of `sbatch --parsable`, "123" or "123;cluster", ignoring a site's own lines.

        A wrapper of sbatch may drop the option: then it is "Submitted batch job 123", or "… on cluster NAME".

        Raises:
            ClusterSilentError: if there is not exactly one id.
        """
        text = string if isinstance(string, str) else string.decode(errors="replace")
        numbers = re.findall(r"^(?:Submitted batch job )?(\d+)(?:;\S*| on cluster \S+)?$", text, re.MULTILINE)
        if len(numbers) != 1:
            raise ClusterSilentError(f"sbatch printed no job id, but {text[:200]!r}")
        return str(numbers[0])

    def job_id(self, printed: str) -> str:
        """Return the id as `_get_job_id_from_submission_command` does."""
        return self._get_job_id_from_submission_command(printed)
