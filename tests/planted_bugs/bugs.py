"""The bugs: one wrong line each, in code that carries a promise of the project, and the tests that must notice it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BUGS", "Bug"]


@dataclass(frozen=True)
class Bug:
    """One wrong line.

    Attributes:
        name: what the bug does.
        file: the module, relative to the package.
        right: code that occurs exactly once in the module.
        wrong: what replaces it.
        tests: the tests that must fail, as arguments of pytest.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: str


BUGS = (
    # Exactly-once records
    Bug(
        "a file is not flushed to disk",
        "store/commit.py",
        "                os.fsync(handle)\n",
        "                pass\n",
        "tests/chaos/test_commit_faults.py",
    ),
    Bug(
        "a folder is not flushed to disk",
        "store/commit.py",
        "        os.fsync(handle)\n    except",
        "        pass\n    except",
        "tests/chaos/test_commit_faults.py",
    ),
    Bug(
        "the link count is not consulted",
        "store/commit.py",
        "if _links(temp) == 2:",
        "if False:",
        "tests/store/test_commit.py tests/chaos",
    ),
    Bug(
        "the second writer replaces the first",
        "store/commit.py",
        "        os.link(temp, path)\n",
        "        os.replace(temp, path)\n",
        "tests/store/test_commit.py",
    ),
    Bug(
        "a damaged record is accepted",
        "store/seal.py",
        "!= found.whole:",
        "== '':",
        "tests/store/test_damage.py",
    ),
    Bug(
        "weights are not compared with their hash",
        "store/weights.py",
        "if expect_sha256 is not None and",
        "if False and",
        "tests/store/test_weights.py",
    ),
    Bug(
        "damage: a merge hashes only the part of a record that it reads",
        "store/record.py",
        "    sealed = check_seal(data, path)\n",
        "    sealed = read_seal(path)\n",
        "tests/damage/test_mutations.py::test_a_changed_record_is_damaged tests/reduce/test_merge_table.py",
    ),
    Bug(
        "damage: a record that changed after the first merge is not hashed again",
        "store/checked.py",
        "            if last != stamp:\n",
        "            if not last:\n",
        "tests/reduce/test_merge_table.py",
    ),
    Bug(
        "damage: the record of another run is accepted",
        "store/checked.py",
        "if summary.key != key:",
        "if False:",
        "tests/reduce/test_merge_table.py",
    ),
    Bug(
        "damage: weights without a hash in a record are not verified",
        "store/weights.py",
        "if expect_sha256 is None and digest != _content_hash(arrays, notes):",
        "if False:",
        "tests/damage/test_mutations.py::test_a_changed_checkpoint_is_not_continued",
    ),
    Bug(
        "damage: the checkpoint of another run is continued",
        "launch/checkpoint.py",
        'expect_metadata={"run": key}',
        "expect_metadata={}",
        "tests/damage/test_mutations.py::test_a_changed_checkpoint_is_not_continued",
    ),
    Bug(
        "damage: files of state/ are not verified",
        "store/hashed.py",
        'if digest != _digest(path, content) + b"\\n":',
        "if False:",
        "tests/damage/test_mutations.py::test_a_changed_failure_is_the_same_or_unreadable",
    ),
    Bug(
        "damage: sweep.toml is not verified",
        "spec/resolved_file.py",
        "if head is None or head[1] != _digest(text[head.end() :]):",
        "if head is None:",
        "tests/spec/test_resolved_file.py",
    ),
    Bug(
        "damage: a pack is not verified",
        "data/packed.py",
        "if _fingerprint_of(packed.folder, files) != packed.fingerprint:",
        "if False:",
        "tests/damage/test_mutations.py::test_a_changed_pack_trains_nothing",
    ),
    Bug(
        "damage: tickets of a damaged dense run are trained",
        "launch/work.py",
        "            if parent in held:\n",
        "            if False:\n",
        "tests/damage/test_repair.py",
    ),
    Bug(
        "a claim is never released",
        "store/claims.py",
        'replace(path, plainjson.dump({"released": True}), durable=False)',
        "pass",
        "tests/store/test_claims.py",
    ),
    Bug(
        "a live owner loses its claim",
        "store/claims.py",
        "return not is_here(owner) and",
        "return",
        "tests/store/test_claims.py",
    ),
    Bug(
        "the owner of a claim is never dead",
        "store/claims.py",
        "    if has_ended(owner):\n        return True\n",
        "",
        "tests/store/test_claims.py",
    ),
    Bug(
        "a reused process id counts as the owner",
        "store/owners.py",
        "_start_of(owner.pid) != owner.start",
        "_start_of(owner.pid) is None",
        "tests/store/test_claims.py",
    ),
    # The lottery ticket
    Bug(
        "gradients of pruned weights are not masked",
        "pruning/apply.py",
        "        gradient.mul_(multiplier)\n",
        "        pass\n",
        "tests/lottery/test_ticket.py tests/training/test_loop.py",
    ),
    Bug(
        "masks are not applied to the weights",
        "pruning/apply.py",
        "        torch._foreach_mul_(list(params.values()), [multipliers[name] for name in params])\n",
        "        pass\n",
        "tests/pruning/test_apply_masks.py",
    ),
    Bug(
        "the momenta of pruned weights are not audited",
        "pruning/audit.py",
        "            and self.pruned_momenta_zero\n",
        "",
        "tests/pruning/test_audit.py",
    ),
    Bug(
        "one weight too many is kept",
        "pruning/counts.py",
        "max(1, total - removed)",
        "max(1, min(total, total - removed + 1))",
        "tests/pruning/test_counts.py",
    ),
    Bug(
        "a binary fraction decides the count",
        "pruning/counts.py",
        "Fraction(repr(float(sparsity)))",
        "Fraction(float(sparsity))",
        "tests/pruning/test_counts.py",
    ),
    Bug(
        "tied scores break the count",
        "pruning/selection.py",
        "(tied & (tied.cumsum(0) <= missing))",
        "tied",
        "tests/pruning/test_selection.py",
    ),
    Bug(
        "pruned weights come back",
        "pruning/selection.py",
        "scores.masked_fill(~kept, lowest)",
        "scores",
        "tests/pruning/test_selection.py",
    ),
    Bug(
        "a random control shuffles nothing",
        "pruning/shuffle.py",
        "return mask.reshape(-1)[order]",
        "return mask.reshape(-1)",
        "tests/pruning/test_shuffle.py",
    ),
    Bug(
        "momenta are not rewound",
        "lottery/starting_point.py",
        'StartingPoint(_section(snapshot, "model/"), _section(snapshot, "optimizer/"))',
        'StartingPoint(_section(snapshot, "model/"), {})',
        "tests/lottery/test_ticket.py",
    ),
    Bug(
        "rewinding is off by one step",
        "plan/rewind.py",
        "else round(self.value * steps_per_epoch)",
        "else round(self.value * steps_per_epoch) + 1",
        "tests/plan/test_rewind_point.py tests/lottery/test_ticket.py",
    ),
    Bug(
        "fresh weights are the initial weights",
        "lottery/starting_point.py",
        'return stream(seed, "reinit")',
        "return seed",
        "tests/lottery/test_controls.py",
    ),
    # Same seed, same bits
    Bug(
        "every epoch has the same order",
        "data/order.py",
        'permutation(stream(seed, "order"), epoch, len(indices))',
        'permutation(stream(seed, "order"), 0, len(indices))',
        "tests/data/test_order.py",
    ),
    Bug(
        "every epoch has the same crops",
        "data/augment.py",
        'hash_counters(stream(seed, "augment"), epoch, samples)',
        'hash_counters(stream(seed, "augment"), 0, samples)',
        "tests/data/test_augment.py",
    ),
    Bug(
        "the classes of a split are out of proportion",
        "data/split.py",
        "counts * wanted, total",
        "np.ones_like(counts) * wanted, len(counts)",
        "tests/data/test_split.py",
    ),
    Bug(
        "random layers ignore the step",
        "training/loop.py",
        'torch_seed(training.seed, "layers", step)',
        'torch_seed(training.seed, "layers")',
        "tests/training",
    ),
    Bug(
        "a resumed training forgets its best weights",
        "training/state.py",
        'self.best_model = _section("best/", tensors)',
        "self.best_model = {}",
        "tests/training/test_resume.py",
    ),
    Bug(
        "a resumed training has a fresh optimizer",
        "training/state.py",
        'restore_optimizer(self.optimizer, self.model, _section("optimizer/", tensors))',
        "pass",
        "tests/training/test_resume.py",
    ),
    Bug(
        "the schedule starts again at the rewind point",
        "training/state.py",
        "position = step if self.stretch is None",
        "position = step - self.progress.curves[0].step if self.progress.curves and self.stretch is None",
        "tests/training tests/lottery/test_ticket.py",
    ),
    # Nothing is dropped in silence
    Bug(
        "16-bit images become white",
        "data/images.py",
        "gray = (values >> (bits - 8)).astype(np.uint8)",
        "gray = np.minimum(values, 255).astype(np.uint8)",
        "tests/data/test_images.py",
    ),
    Bug(
        "transparency is dropped",
        "data/images.py",
        'return _over_white(image, where) if image.has_transparency_data else image.convert("RGB")',
        'return image.convert("RGB")',
        "tests/data/test_images.py",
    ),
    Bug(
        "photos lie on their side",
        "data/images.py",
        "return int(image.getexif().get(_ORIENTATION, 1))",
        "return 1",
        "tests/data/test_images.py",
    ),
    Bug(
        "a class without readable files is passed over",
        "data/class_folders.py",
        "    if empty:\n",
        "    if False:\n",
        "tests/data/corpus",
    ),
    Bug(
        "files with other endings are not counted",
        "data/layouts.py",
        "for name in sorted({*root.all_others()} - used):",
        "for name in ():",
        "tests/data/corpus",
    ),
    Bug(
        "the only image of a class is a test image",
        "data/split.py",
        "np.clip(shares, np.minimum(counts, 1), np.maximum(counts - 1, 0))",
        "np.clip(shares, np.minimum(counts, 1), counts)",
        "tests/data/test_split.py",
    ),
    # Keys and plan
    Bug(
        "the key ignores the seed",
        "plan/keys.py",
        "        for name, item in value.items():\n",
        '        for name, item in value.items():\n            if name == "seed":\n                continue\n',
        "tests/plan/test_keys.py",
    ),
    Bug(
        "1 and 1.0 are two keys",
        "plan/keys.py",
        "return int(value) if value.is_integer() else value",
        "return value",
        "tests/plan/test_keys.py",
    ),
    # Scheduling
    Bug(
        "the shortest chain goes first",
        "launch/scheduler.py",
        "key: (key not in first, -self._chain[key], position)",
        "key: (key not in first, self._chain[key], position)",
        "tests/launch/test_scheduler.py",
    ),
    Bug(
        "a child starts before its parent ends",
        "launch/scheduler.py",
        "            if node.parent not in self._nodes:\n",
        "            if True:\n",
        "tests/launch/test_scheduler.py",
    ),
    Bug(
        "a failed attempt is retried for ever",
        "launch/scheduler.py",
        "self._attempts_left[key] -= 1",
        "pass",
        "tests/launch/test_scheduler.py",
    ),
    Bug(
        "a claim is kept after its run",
        "launch/reporter.py",
        "                claims.release(self._sweep, self.task.key, self._owner)\n",
        "                pass\n",
        "tests/launch/test_local_runs.py",
    ),
    Bug(
        "a run that others finished is trained again",
        "launch/dispatch.py",
        "        case Elsewhere.DONE:\n            scheduler.finish(key)\n",
        "        case Elsewhere.DONE:\n            return True\n",
        "tests/launch/test_dispatch.py",
    ),
    Bug(
        "a taken run is submitted again",
        "launch/slurm/shares.py",
        "        if key in taken:\n            continue\n",
        "",
        "tests/launch/test_shares.py",
    ),
    Bug(
        "jobs are submitted beyond the limits",
        "launch/slurm/step_decision.py",
        "shares = array.shares[:capacity]",
        "shares = array.shares",
        "tests/launch/test_step_decision.py",
    ),
    Bug(
        "the claim of an ended job takes its run",
        "launch/slurm/reconcile.py",
        "if not job or job in listed}",
        "if True}",
        "tests/launch/test_reconcile.py",
    ),
    Bug(
        "progress does not reset failed attempts",
        "launch/slurm/attempts.py",
        "count = 0 if did else count + 1",
        "count = count if did else count + 1",
        "tests/launch/test_reconcile.py",
    ),
    Bug(
        "a worker job takes the run of a live job",
        "launch/slurm/pulling.py",
        "return Elsewhere.HELD if self._is_claimed(key) else None",
        "return None",
        "tests/launch/test_worker_job.py",
    ),
    Bug(
        "no intent is written before sbatch",
        "launch/slurm/journal.py",
        "return intent if commit.commit_new(path, content) else None",
        "return intent",
        "tests/launch/test_slurm_journal.py",
    ),
    Bug(
        "an empty answer of squeue is believed",
        "launch/slurm/cluster/listing.py",
        "if not records and COMPLAINT.search(answer.err):",
        "if False:",
        "tests/launch/test_slurm_parsing.py tests/launch/test_slurm_ask.py",
    ),
    # The table
    Bug(
        "the margin has the wrong sign",
        "reduce/decision.py",
        "self.low >= -margin - _TOLERANCE",
        "self.low >= margin - _TOLERANCE",
        "tests/reduce/test_ticket_verdict.py",
    ),
    Bug(
        "a pair is compared with the dense run of another seed",
        "reduce/ticket_rows.py",
        "dense, pruned = results[run.trunk].metrics,",
        'dense, pruned = next(one for one in results.values() if one.kind == "dense").metrics,',
        "tests/reduce/test_ticket_rows.py",
    ),
    Bug(
        "runs of different data are pooled",
        "reduce/merge.py",
        "used = {key: one for key, one in known.items() if key not in aside}",
        "used = known",
        "tests/reduce/test_pooling.py",
    ),
    Bug(
        "figures draw runs that are set aside",
        "report/content.py",
        'runs[runs["state"] != ResultState.SET_ASIDE] if "state" in runs else runs',
        "runs",
        "tests/commands/test_set_aside.py",
    ),
    Bug(
        "two names of sweeps share a folder",
        "spec/names.py",
        "if kept == name == name.casefold():",
        "if kept:",
        "tests/spec/test_names.py",
    ),
    Bug(
        "an error that comes again is retried",
        "launch/failure_cause.py",
        "retry=(of_the_machine or _is_of_the_device(error))",
        "retry=not isinstance(error, LthsweepError)",
        "tests/launch/test_failure_cause.py",
    ),
)
