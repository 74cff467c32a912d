"""SLURM's output is parsed completely or rejected. The texts are real output of SLURM, intact or cut by failures."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lthsweep.errors import ClusterSilentError, NotNowError, RefusedError
from lthsweep.launch.slurm.cluster.accounting import parse_assoc_mgr, parse_sacctmgr
from lthsweep.launch.slurm.cluster.ask import Answer
from lthsweep.launch.slurm.cluster.limits import parse_config, parse_partitions
from lthsweep.launch.slurm.cluster.listing import FORMAT, Element, indices, parse_queue, seconds_of
from lthsweep.launch.slurm.cluster.policy import Cap, caps, wall_minutes
from lthsweep.launch.slurm.cluster.refusals import refusal_of

HEADER = (
    "JOBID|@|ARRAY_JOB_ID|@|ARRAY_TASK_ID|@|STATE|@|REASON|@|NODELIST|@|RESTART_COUNT|@|START_TIME|@|TIME|@|"
    "TIME_LIMIT|@|PARTITION|@|NAME|@.\n"
)
WAITING = (
    "20|@|20|@|4|@|PENDING|@|Nodes required for job are DOWN, DRAINED or reserved|@||@|0|@|N/A|@|0:00|@|"
    "3-00:00:00|@|gpu,gpu_requeue|@|lth-3f9a01c2-0001|@.\n"
)
RUNNING = (
    "21|@|20|@|0|@|RUNNING|@|None|@|n1|@|2|@|2026-11-21T10:22:55|@|1:02:03|@|"
    "UNLIMITED|@|gpu|@|lth-3f9a01c2-0001|@.\n"
)
ALONE = (
    "25|@|25|@|N/A|@|COMPLETING|@|None|@|n2|@|0|@|2026-11-21T10:22:55|@|0:03|@|10:00|@|gpu|@|controller|@.\n"
)


def listed(*lines, err="", code=0):
    """The elements in squeue's answer."""
    return parse_queue(Answer(code, HEADER + "".join(lines), err))


def test_every_field_of_a_line_is_read():
    waiting, running, alone = listed(WAITING, RUNNING, ALONE)

    assert waiting == Element(
        job="20",
        index=4,
        name="lth-3f9a01c2-0001",
        state="PENDING",
        reason="Nodes required for job are DOWN, DRAINED or reserved",
        restarts=0,
        raw="20",
        partition="gpu,gpu_requeue",
        limit_seconds=3 * 86400,
    )
    assert (running.raw, running.node, running.restarts, running.reason) == ("21", "n1", 2, "")
    assert (running.used_seconds, running.limit_seconds) == (3723, None)
    assert running.starts == time.mktime(time.strptime("2026-11-21 10:22:55", "%Y-%m-%d %H:%M:%S"))
    assert (waiting.id, alone.id) == ("20_4", "25")


def test_squeue_is_asked_for_every_parsed_field():
    assert HEADER.count("|@") == FORMAT.count(":|@") == 12


def test_an_empty_list_with_a_header_is_valid():
    assert listed() == ()


def test_an_unsplit_array_line_gives_all_elements():
    """`squeue --array` prints a line for each, but a site's wrapper of squeue may drop the option."""
    (first, *_, last) = elements = listed(WAITING.replace("|@|4|@|", "|@|4-9%3|@|"))

    assert len(elements) == 6
    assert (first.id, last.id) == ("20_4", "20_9")


def test_an_unknown_state_is_kept():
    """A later SLURM can have more states. The element is in the queue, so its runs are not free."""
    (element,) = listed(ALONE.replace("COMPLETING", "EXPEDITING"))

    assert element.state == "EXPEDITING"


def test_warnings_on_stderr_do_not_invalidate_a_list():
    """Sites print all kinds of messages to stderr."""
    assert len(listed(WAITING, err="squeue: error: plugin x is deprecated")) == 1
    assert listed(err="Maintenance on Monday!") == ()


def test_a_job_name_can_contain_any_text():
    (element,) = listed(ALONE.replace("controller", "a|@|b\nc"))

    assert element.name == "a|@|b\nc"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(1, "", "slurm_load_jobs error: Unable to contact slurm controller"), "Unable to contact"),
        (Answer(1, HEADER, ""), "exit code 1"),
        (Answer(0, "", ""), "printed no list"),
        (Answer(0, HEADER, "squeue: error: Invalid user: nosuch"), "asked for: Invalid user: nosuch"),
        (
            Answer(0, HEADER + WAITING, "squeue: error: Invalid user: nosuch"),
            "asked for: Invalid user: nosuch",
        ),
        (Answer(0, HEADER, "squeue: error: something went wrong"), "complains: something went wrong"),
        (Answer(0, HEADER + WAITING[:-1], ""), "breaks off"),
        (Answer(0, HEADER + WAITING[:40], ""), "breaks off"),
        (Answer(0, HEADER[:-20], ""), "printed no list"),
        (Answer(0, "Welcome to the cluster!\n" * 3, ""), "printed no list"),
        (Answer(0, HEADER + WAITING.replace("20|@|20", "oops|@|20"), ""), "cannot be read"),
        (Answer(0, HEADER + WAITING.replace("PENDING|@|", ""), ""), "cannot be read"),
        (Answer(0, HEADER + WAITING.replace("|@|4|@|", "|@|4,6,...|@|"), ""), "cannot be read"),
    ],
)
def test_unexpected_output_is_no_answer(answer, words):
    """squeue exits with code 0 and an empty list for an unknown user. If that counted as an answer, all runs would be
    submitted again."""
    with pytest.raises(ClusterSilentError, match=re.escape(words)):
        parse_queue(answer)


@given(st.text(max_size=80), st.text(max_size=80))
def test_arbitrary_text_is_no_answer(before, after):
    """Text without a complete line of SLURM's, with or without its header."""
    with pytest.raises(ClusterSilentError):
        parse_queue(Answer(0, before + "\n" + after, ""))
    if after:
        with pytest.raises(ClusterSilentError):
            listed(after)


@given(st.integers(0, len(WAITING + RUNNING + ALONE) - 1))
def test_truncated_lists_are_rejected_unless_lines_are_whole(length):
    """A killed squeue or a full pipe cuts the list, and a partial list must not count as complete."""
    text = (WAITING + RUNNING + ALONE)[:length]
    whole = text.count("|@.\n")
    if text.endswith("|@.\n") or not text:
        assert len(listed(text)) == whole
    else:
        with pytest.raises(ClusterSilentError):
            listed(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4", [4]),
        ("[4-9%3]", [4, 5, 6, 7, 8, 9]),
        ("0,2,4%2", [0, 2, 4]),
        ("1,3,10-20:5", [1, 3, 10, 15, 20]),
    ],
)
def test_indices_are_read_in_all_forms(text, found):
    assert list(indices(text)) == found


@pytest.mark.parametrize("text", ["6...", "4-", "a", "1-3:0", "1%x", "-1", "1;2", "1,,2", ""])
def test_truncated_indices_are_refused(text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        indices(text)


@given(st.sets(st.integers(0, 400), min_size=1))
def test_indices_survive_conversion_to_ranges(wanted):
    from lthsweep.launch.slurm.cluster.sbatch import _ranges

    assert set(indices(_ranges(sorted(wanted)))) == wanted


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("0:07", 7), ("12:34", 754), ("1:00:00", 3600), ("01:00:00", 3600), ("3-00:00:00", 259200)],
        *[("UNLIMITED", None), ("INVALID", None), ("NOT_SET", None), ("", None)],
    ],
)
def test_durations_are_read_in_all_forms(text, seconds):
    assert seconds_of(text) == seconds


CONFIG = """Configuration data as of 2026-11-21T10:09:41
AccountingStorageEnforce = associations,limits,qos
MaxArraySize            = 50
MaxJobCount             = 200
SLURM_CONF              = /etc/slurm/slurm.conf
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at login1 is UP
"""

PARTITIONS = (
    "PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL Default=YES QoS=N/A DefaultTime=NONE "
    "GraceTime=30 MaxNodes=UNLIMITED MaxTime=01:00:00 MaxCPUsPerNode=UNLIMITED PreemptMode=REQUEUE State=UP\n"
    "PartitionName=test AllowGroups=ALL AllowAccounts=a,b AllowQos=fast Default=NO QoS=testqos GraceTime=0 "
    "MaxTime=UNLIMITED MaxCPUsPerNode=8 PreemptMode=OFF State=DOWN TRES=cpu=2,mem=8000M\n"
)


def test_the_configuration_is_read():
    config = parse_config(CONFIG)

    assert config["MaxArraySize"] == "50"
    assert config["SLURM_VERSION"] == "22.05.8"
    assert "limits" in config["AccountingStorageEnforce"]


def test_partitions_are_read():
    gpu, test = parse_partitions(PARTITIONS).values()

    assert (gpu.default, gpu.minutes, gpu.grace_seconds, gpu.preempt_mode) == (True, 60, 30, "REQUEUE")
    assert (gpu.accounts, gpu.all_qos, gpu.qos, gpu.cores_per_node) == (None, None, None, None)
    assert (test.default, test.minutes, test.state) == (False, None, "DOWN")
    assert (test.accounts, test.all_qos, test.qos, test.cores_per_node) == (
        ("a", "b"),
        ("fast",),
        "testqos",
        8,
    )


NO_GROUPS = "GrpJobs=N(0) GrpJobsAccrue=N(0) GrpSubmitJobs=N(19) GrpWall=N(0.00)"
ASSOC_MGR = f"""Current Association Manager state
Association Records
ClusterName=c Account=root UserName= Partition= ID=1 ParentAccount= DefAssoc=No {NO_GROUPS} MaxSubmitJobs= MaxWallPJ=
ClusterName=c Account=lab UserName= Partition= ID=3 ParentAccount=root(1) DefAssoc=No GrpSubmitJobs=100(60) MaxWallPJ=
ClusterName=c Account=lab UserName=me(7) Partition= ID=4 ParentAccount= DefAssoc=Yes {NO_GROUPS} \
MaxJobs=7(0) MaxJobsAccrue= MaxSubmitJobs=20(19) MaxWallPJ=2880 MaxTRESPJ=
ClusterName=c Account=lab UserName=me(7) Partition=gpu ID=5 ParentAccount= DefAssoc=No MaxSubmitJobs=9(0) MaxWallPJ=
ClusterName=c Account=course UserName=me(7) Partition= ID=6 ParentAccount= DefAssoc=No MaxSubmitJobs=3(1)
QOS Records
QOS=normal(1) UsageRaw=0.0 {NO_GROUPS} MaxWallPJ= Priority=0 Account Limits=No Accounts User Limits=No Users
QOS=fast(2) UsageRaw=0.0 {NO_GROUPS} MaxWallPJ=60 Priority=0 Account Limits= \
lab={{MaxJobsPA=N(2) MaxSubmitJobsPA=40(12) MaxTRESPA=cpu=N(0)}} User Limits= \
77={{MaxJobsPU=N(1) MaxSubmitJobsPU=10(1) MaxTRESPU=cpu=N(0)}} 7={{MaxJobsPU=N(1) MaxSubmitJobsPU=10(8) MaxTRESPU=}}
QOS=group(3) UsageRaw=0.0 GrpSubmitJobs=50(49) MaxWallPJ= Account Limits=No Accounts User Limits=No Users
"""


def names(found):
    """The limits as the user sees them."""
    return [str(cap) for cap in found]


@pytest.mark.parametrize(
    ("state", "reason", "stuck"),
    [
        ("PENDING", "launch failed requeued held", True),
        ("PENDING", "launch_failed_requeued_held", True),
        ("PENDING", "JobHoldMaxRequeue", True),
        ("PENDING", "JobHeldUser", False),
        ("PENDING", "JobHeldAdmin", False),
        ("PENDING", "Dependency", False),
        ("RUNNING", "launch failed requeued held", False),
    ],
)
def test_failed_launches_are_stuck_and_holds_are_not(state, reason, stuck):
    assert Element("7", 0, "lth-x", state, reason).is_stuck is stuck


def test_without_qos_limits_the_association_applies():
    policy = parse_assoc_mgr(ASSOC_MGR, uid=7)

    assert names(caps(policy, "me", None, "cpu", ["normal"])) == [
        "MaxSubmitJobs of me in account lab 20, 19 in use",
        "GrpSubmitJobs of account lab 100, 60 in use",
    ]
    assert wall_minutes(policy, "me", None, "cpu", ["normal"]) == 2880


def test_accounts_and_partitions_can_have_associations():
    policy = parse_assoc_mgr(ASSOC_MGR, uid=7)

    assert names(caps(policy, "me", "course", "cpu", ["normal"])) == [
        "MaxSubmitJobs of me in account course 3, 1 in use"
    ]
    assert "MaxSubmitJobs of me in account lab 9, 0 in use" in names(
        caps(policy, "me", "lab", "gpu", ["normal"])
    )


@pytest.mark.parametrize("form", ["7", "me(7)"])
def test_qos_limits_replace_the_associations_limits(form):
    """SLURM does the same. Later versions print the user's name before the number."""
    text = ASSOC_MGR.replace(" 7={", f" {form}={{")
    policy = parse_assoc_mgr(text, uid=7)

    assert names(caps(policy, "me", None, "cpu", ["normal", "fast"])) == [
        "MaxSubmitJobsPerUser of QOS fast 10, 8 in use",
        "MaxSubmitJobsPerAccount of QOS fast 40, 12 in use",
        "GrpSubmitJobs of account lab 100, 60 in use",
    ]
    assert wall_minutes(policy, "me", None, "cpu", ["fast"]) == 60


def test_users_without_jobs_in_a_qos_use_none():
    policy = parse_assoc_mgr(ASSOC_MGR, uid=8)

    assert "MaxSubmitJobsPerUser of QOS fast 10, 0 in use" in names(
        caps(policy, "you", None, "cpu", ["fast"])
    )


def test_a_qos_group_limit_replaces_those_of_accounts():
    found = caps(parse_assoc_mgr(ASSOC_MGR, uid=7), "me", None, "cpu", ["group"])

    assert names(found) == [
        "GrpSubmitJobs of QOS group 50, 49 in use",
        "MaxSubmitJobs of me in account lab 20, 19 in use",
    ]


SACCTMGR_USERS = "lab|lab||20|1-00:00:00\nlab|course|gpu|3|\n"
SACCTMGR_QOS = "normal|6|||\nfast|||70|02:00:00\n"


def test_the_database_completes_limits_of_unused_qos():
    """The controller omits the limit per user of a QOS without jobs."""
    shown = parse_assoc_mgr(ASSOC_MGR, uid=7)
    policy = shown.completed(parse_sacctmgr("", SACCTMGR_QOS))

    assert not shown.qos["normal"].is_whole
    assert (
        names(caps(policy, "me", None, "cpu", ["normal"]))[0]
        == "MaxSubmitJobsPerUser of QOS normal 6, 0 in use"
    )


def test_the_database_has_limits_without_use():
    policy = parse_sacctmgr(SACCTMGR_USERS, SACCTMGR_QOS)

    assert caps(policy, "me", None, "cpu", []) == [Cap("MaxSubmitJobs of me in account lab", 20, None)]
    assert caps(policy, "me", "course", "gpu", ["fast"])[0] == Cap("GrpSubmitJobs of QOS fast", 70, None)
    assert wall_minutes(policy, "me", None, "cpu", ["normal"]) == 1440
    assert wall_minutes(policy, "me", None, "cpu", ["fast"]) == 120


@given(st.text(max_size=200))
def test_arbitrary_text_from_accounting_gives_no_limit(text):
    assert caps(parse_assoc_mgr(text, 0), "me", None, "cpu", ["normal"]) == []
    assert caps(parse_sacctmgr(text, text), "me", None, "cpu", []) == []


POLICY = (
    "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
    "and/or time limits)\n"
)


def refused(err):
    """The error for sbatch's message."""
    return refusal_of(Answer(1, "", err), "lth-1-0001", ["SBATCH_ACCOUNT", "HOME"])


@pytest.mark.parametrize(
    "err",
    [
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + POLICY,
        "sbatch: error: AssocMaxSubmitJobLimit\n" + POLICY,
        "sbatch: error: AssocGrpSubmitJobsLimit\n" + POLICY,
        POLICY,
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying\n",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable\n",
        "sbatch: error: Batch job submission failed: Invalid job array specification\n",
        "sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)\n",
        "allocation failure: Required node not available (down, drained or reserved)\n",
    ],
)
def test_a_refusal_that_passes_is_not_final(err):
    """There are too many jobs, or the partition is closed for now."""
    assert isinstance(refused(err), NotNowError)


@pytest.mark.parametrize(
    ("sentence", "change"),
    [
        ("Invalid partition name specified", "slurm.partition"),
        ("Invalid account or account/partition combination specified", "slurm.account"),
        ("Invalid qos specification", "slurm.qos"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "slurm.time"),
        ("Invalid feature specification", "slurm.constraint"),
        ("Requested node configuration is not available", "slurm.cpus"),
        ("Memory specification can not be satisfied", "slurm.memory"),
        ("Requested reservation is invalid", "slurm.reservation"),
        ("Invalid node name specified", "slurm.exclude"),
        ("Invalid wckey specification", "slurm.options"),
    ],
)
def test_a_refusal_contains_slurms_message_and_the_option(sentence, change):
    error = refused(f"sbatch: error: Batch job submission failed: {sentence}\n")

    assert type(error) is RefusedError
    assert f": {sentence}; change {change}" in str(error)
    assert "SBATCH_ACCOUNT in your environment are ignored" in str(error)
    assert "HOME" not in str(error)


def test_a_refused_walltime_is_final():
    """The last line is the same as for too many jobs; the reason before it makes the difference."""
    error = refused("sbatch: error: QOSMaxWallDurationPerJobLimit\n" + POLICY)

    assert type(error) is RefusedError
    assert "slurm.time" in str(error)


def test_a_sites_own_message_is_kept():
    error = refused(
        "sbatch: error: You have used up your allowance.\nsbatch: error: Batch job submission failed: "
        "Unspecified error\n"
    )

    assert "You have used up your allowance.; Unspecified error" in str(error)
