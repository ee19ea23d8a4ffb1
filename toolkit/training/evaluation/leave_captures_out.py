"""How well attacks are found in networks that training never saw: captures left out in turn.

    captures ──> folds ──> each fold judged by models of the others ──> one report over all captures

A repository is one lab and models recognise labs, so what holds on other captures of known
repositories says little of the next network. Repositories are left out whole; groups of captures,
or kinds of attacks, next to them on request. Thresholds, epochs and members are chosen on captures
of the following folds and never on those that are judged.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from idskit.attack_families import FAMILIES, UNKNOWN
from idskit.data.capture_labels import find_captures
from idskit.data.dataset import OWN, Dataset, Part
from idskit.data.datasets import load_unlabelled
from idskit.data.labelled_captures import (
    SCHEMAS,
    LabelledFlows,
    assemble,
    generated_flows,
    how_labelled,
    read_capture,
)
from idskit.data.resample import resample
from idskit.errors import DataError, RunError
from idskit.files.output import write_json
from idskit.incidents.sequential.sequential_tests import with_tested_columns
from idskit.report.console import PeopleConsole
from idskit.schemas.catalog import learned
from idskit.training.checkpoint import check_identity
from idskit.training.evaluation.unseen_captures import (
    Judge,
    Judged,
    Probabilities,
    judged,
    report,
)
from idskit.training.fit import fit
from idskit.training.members.cautious_trees import fit_cautious, fit_families
from idskit.training.members.lightgbm_baseline import fit_lightgbm
from idskit.training.settings import ResolvedSettings, TrainingSettings

LeftOut = Literal["repositories", "groups", "categories"]
LEFT_OUT: tuple[LeftOut, ...] = ("repositories", "groups", "categories")
CAPTURES_FILE = "captures-left-out.json"  # what is judged so far, for a run that is stopped
BASELINE = "lightgbm"
FOLDS = 8

Opinions = dict[str, list[Judged]]  # by the name of a model: what it says of captures


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Captures that are left out together."""

    names: tuple[str, ...]  # of repositories, groups or families
    units: frozenset[str]  # groups of captures


def leave_captures_out(
    settings: TrainingSettings,
    kinds: Sequence[LeftOut],
    *,
    data: Path | Sequence[Path],
    output: Path,
    network: bool = True,
    folds: int = FOLDS,
    resume: bool = False,
) -> dict[str, Any]:
    """Train without each fold of captures in turn, and judge the fold's captures.

    Args:
        settings: of every training.
        kinds: what is left out: ``repositories``, ``groups`` or ``categories`` (of attacks, each
            family one fold, with a share of the benign groups).
        data: folders of captures, see ``idskit.data.labelled_captures.load``; read once.
        output: keeps captures-left-out.json, one fold more after every training.
        network: train the network of ``settings`` too, and not trees alone.
        folds: at most so many; the repositories with most captures have one of their own.
        resume: keep what captures-left-out.json holds.

    Returns:
        By kind: folds (names), network, trees and lightgbm (``unseen_captures.report``, and judged,
        every capture), and notes, ready for JSON.

    Raises:
        DataError: a group in two repositories, or too few captures to leave any out.
        RunError: captures-left-out.json is of other settings or data, or an earlier run, which has
            seen what is left out, is learned from.
    """
    whole = settings.resolved()
    if whole.teacher_runs():
        raise RunError(
            "an earlier run has seen the captures that are left out: omit --teacher RUN, or use "
            "--teacher lightgbm"
        )
    schema = SCHEMAS[0] if whole.schema == OWN else whole.schema
    columns = with_tested_columns(learned(schema))
    read = [read_capture(capture, columns) for capture in find_captures(data)]
    made = generated_flows(whole.generated, whole.split_seed, columns)
    file = output / CAPTURES_FILE
    hashes = {item.capture.name: item.sha256 for item in read}
    identity = {**whole.recorded(), "data": hashes, "folds": folds, "network": network}
    known = _kept(file, identity) if resume else {}
    output.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for kind in kinds:
        divided = divided_into(read, kind, folds)
        opinions: list[Opinions] = []
        for number in range(len(divided)):
            key = f"{kind} {number}"
            if key not in known:
                _announce(kind, number, divided)
                known[key] = _judge_fold(read, made, divided, number, whole, network=network)
                _keep(file, identity, known)
            opinions.append(known[key])
        found[kind] = _summed(divided, opinions, read)
    return found


def divided_into(read: Sequence[LabelledFlows], kind: LeftOut, most: int) -> list[Fold]:
    """Return the folds of captures.

    Raises:
        DataError: a group is in two repositories, or there are too few to leave any out.
    """
    if kind == "categories":
        folds = _family_folds(read)
    else:
        _require_whole_groups(read)
        folds = _balanced(read, kind, most)
    if len(folds) < 3:
        raise DataError(
            f"{kind} of captures were to be left out in turn, but there are {len(folds)}: one is "
            "judged, one chooses thresholds and the others are trained on, so give three or more"
        )
    return folds


def _require_whole_groups(read: Sequence[LabelledFlows]) -> None:
    """Refuse a group that would be on both sides."""
    repositories: dict[str, str] = {}
    for item in read:
        capture = item.capture
        first = repositories.setdefault(capture.group, capture.repository)
        if first != capture.repository:
            raise DataError(
                f"group {capture.group} has captures of {first} and of {capture.repository}, so "
                "leaving one of them out would leave the group on both sides: give the group of "
                "each repository a name of its own"
            )


def _balanced(read: Sequence[LabelledFlows], kind: LeftOut, most: int) -> list[Fold]:
    """Put repositories or groups into folds of about as many attacks and captures each.

    The largest come first, each into the fold that has least, so they stay alone.
    """
    attacks: dict[str, int] = defaultdict(int)
    captures: dict[str, int] = defaultdict(int)
    units: dict[str, set[str]] = defaultdict(set)
    for item in read:
        name = item.capture.repository if kind == "repositories" else item.capture.group
        attacks[name] += item.is_attack
        captures[name] += 1
        units[name].add(item.capture.group)
    total = max(sum(attacks.values()), 1), sum(captures.values())
    weight = {name: attacks[name] / total[0] + captures[name] / total[1] for name in captures}
    bins: list[list[str]] = [[] for _ in range(min(most, len(weight)))]
    loads = np.zeros(len(bins))
    for name in sorted(weight, key=lambda name: (-weight[name], name)):
        lightest = int(loads.argmin())
        bins[lightest].append(name)
        loads[lightest] += weight[name]
    return [
        Fold(names=tuple(names), units=frozenset[str]().union(*(units[name] for name in names)))
        for names in bins
    ]


def _family_folds(read: Sequence[LabelledFlows]) -> list[Fold]:
    """Make a fold of each family of attacks; benign groups are divided among them."""
    families: dict[str, set[str]] = defaultdict(set)
    attacks: set[str] = set()
    for item in read:
        if item.is_attack:
            attacks.add(item.capture.group)
            for family in np.unique(item.families[item.attack_flows()]):
                families[str(family)].add(item.capture.group)
    kinds = [family for family in (*FAMILIES, UNKNOWN) if family in families]
    calm = sorted({item.capture.group for item in read} - attacks)
    order = np.random.default_rng(0).permutation(len(calm))
    shares = {
        kind: {calm[i] for i in order[number :: len(kinds)]} for number, kind in enumerate(kinds)
    }
    return [Fold(names=(kind,), units=frozenset(families[kind] | shares[kind])) for kind in kinds]


def _announce(kind: LeftOut, number: int, folds: Sequence[Fold]) -> None:
    console = PeopleConsole()
    if console.is_terminal:
        names = ", ".join(folds[number].names[:3])
        more = "" if len(folds[number].names) < 4 else f" and {len(folds[number].names) - 3} more"
        text = f"leaving out {kind}, {number + 1} of {len(folds)}: {names}{more}"
        console.print(text, highlight=False)


def _judge_fold(
    read: Sequence[LabelledFlows],
    made: Sequence[LabelledFlows],
    folds: Sequence[Fold],
    number: int,
    settings: ResolvedSettings,
    *,
    network: bool,
) -> Opinions:
    """Return what models of the other folds say of one fold's captures."""
    dataset = _without(read, made, folds, number, settings)
    left = [item for item in read if item.capture.group in folds[number].units]
    models = {
        BASELINE: _by_trees(dataset, settings, _boosted),
        "trees": _by_trees(dataset, settings, _cautious),
    }
    if network:
        models["network"] = _by_network(dataset, settings)
    return {name: [judged(item, by) for item in left] for name, by in models.items()}


def _without(
    read: Sequence[LabelledFlows],
    made: Sequence[LabelledFlows],
    folds: Sequence[Fold],
    number: int,
    settings: ResolvedSettings,
) -> Dataset:
    """Return training and validation rows of the folds that are not left out."""
    chosen = validation_of(read, folds, number)
    sides = {item.capture.group: "train" for item in read}
    sides |= {item.capture.name: "train" for item in made}
    sides |= dict.fromkeys(chosen, "validation") | dict.fromkeys(folds[number].units, "test")
    names = folds[number].names
    dataset = assemble(
        [*read, *(_omitting(item, names) for item in made)],
        sides,
        protocol="honest",
        labels=settings.labels,
        schema=SCHEMAS[0] if settings.schema == OWN else settings.schema,
        rng=np.random.default_rng(settings.split_seed),
    )
    if settings.unlabelled:
        dataset = replace(dataset, unlabelled=load_unlabelled(dataset, settings.unlabelled))
    return resample(_present(dataset), settings.resample, settings.seed)


def _omitting(made: LabelledFlows, families: Sequence[str]) -> LabelledFlows:
    """Take the label from flows of the families that are left out."""
    return replace(made, families=np.where(np.isin(made.families, families), "", made.families))


def validation_of(
    read: Sequence[LabelledFlows], folds: Sequence[Fold], number: int
) -> frozenset[str]:
    """Return the units of the folds that follow, until there are benign captures and attacks.

    Raises:
        DataError: they leave none to train on.
    """
    units: frozenset[str] = frozenset()
    for step in range(1, len(folds) - 1):
        units |= folds[(number + step) % len(folds)].units
        units -= folds[number].units
        labelled = (i for i in read if i.capture.group in units and (i.families != "").any())
        if len({bool(item.attack_flows().any()) for item in labelled}) > 1:
            return units
    raise DataError(
        f"without {', '.join(folds[number].names)} no captures are left that choose a threshold, "
        "benign and attack, next to those that are trained on: give captures of more repositories"
    )


def _present(dataset: Dataset) -> Dataset:
    """Return the same rows with the classes that training rows have.

    Raises:
        DataError: there are no benign rows or no attacks among them.
    """
    kept = np.unique(dataset.train.labels)
    if len(kept) < 2 or kept[0] != 0:
        raise DataError(
            "the captures that are not left out are all benign or all attacks: give captures of "
            "more repositories"
        )
    code = np.full(len(dataset.classes), -1)
    code[kept] = np.arange(len(kept))

    def fewer(part: Part) -> Part:
        renamed = replace(part, labels=code[part.labels])
        return renamed.take(renamed.labels >= 0)

    return replace(
        dataset,
        classes=tuple(dataset.classes[label] for label in kept),
        train=fewer(dataset.train),
        validation=fewer(dataset.validation),
        test=fewer(dataset.test),
    )


Fit = Callable[[Dataset, ResolvedSettings], Probabilities]


def _boosted(dataset: Dataset, settings: ResolvedSettings) -> Probabilities:
    model = fit_lightgbm(dataset, seed=settings.seed, threads=settings.threads)
    return lambda rows: np.asarray(model.predict_proba(rows), np.float32)


def _cautious(dataset: Dataset, settings: ResolvedSettings) -> Probabilities:
    """Fit the trees that are a member of the shipped model, by themselves."""
    known = {"seed": settings.seed, "threads": settings.threads}
    attack = fit_cautious(dataset, **known)
    families = fit_families(dataset, **known) if len(dataset.classes) > 2 else None

    def probabilities(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        score = np.asarray(attack.predict_proba(rows))[:, 1:]
        shares = 1.0 if families is None else families.predict_proba(rows)
        return np.hstack([1 - score, score * shares]).astype(np.float32)

    return probabilities


def _by_trees(dataset: Dataset, settings: ResolvedSettings, fit_to: Fit) -> Judge:
    """Fit trees, and choose their threshold as that of the shipped model is chosen."""
    probabilities = fit_to(dataset, settings)
    benign = dataset.validation.take(dataset.validation.labels == 0)
    return Judge(
        schema=dataset.schema,
        classes=dataset.classes,
        probabilities=probabilities,
        threshold=settings.choose_threshold(benign, probabilities(benign.rows)),
    )


def _by_network(dataset: Dataset, settings: ResolvedSettings) -> Judge:
    fitted = fit(dataset, settings)
    return Judge(
        schema=dataset.schema,
        classes=dataset.classes,
        probabilities=fitted.network.probabilities,
        threshold=fitted.threshold,
    )


def _summed(
    folds: Sequence[Fold], opinions: Sequence[Opinions], read: Sequence[LabelledFlows]
) -> dict[str, Any]:
    """Report on all captures, each as the models judged it that had not seen it."""
    names = opinions[0].keys()
    everything = {name: _merged([fold[name] for fold in opinions]) for name in names}
    return {
        "folds": [list(fold.names) for fold in folds],
        "notes": how_labelled(read),
        **{
            name: {**report(found), "judged": [asdict(item) for item in found]}
            for name, found in everything.items()
        },
    }


def _merged(folds: Sequence[list[Judged]]) -> list[Judged]:
    """Return every capture once; one of several families as the first fold that had it."""
    seen: dict[str, Judged] = {}
    for item in (item for fold in folds for item in fold):
        seen.setdefault(item.capture, item)
    return list(seen.values())


def _keep(file: Path, identity: Mapping[str, Any], known: Mapping[str, Opinions]) -> None:
    folds = {
        key: {name: [asdict(item) for item in found] for name, found in opinions.items()}
        for key, opinions in known.items()
    }
    write_json(file, {"identity": identity, "folds": folds})


def _kept(file: Path, identity: Mapping[str, Any]) -> dict[str, Opinions]:
    """Return the folds that an earlier, stopped call judged."""
    if not file.is_file():
        return {}
    try:
        document = json.loads(file.read_text())
        check_identity(document["identity"], identity, file)
        return {
            key: {name: [Judged(**item) for item in found] for name, found in opinions.items()}
            for key, opinions in document["folds"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{file} is damaged ({error}): train without resuming") from error
