"""What is watched while a generator learns: its samples, judged in seconds after every evaluation, in words of biology.

Writes a line of numbers and the samples themselves after each evaluation, raises alarms, and says how far the samples are from
natural ones, which is how the weights that are kept are chosen where there is no likelihood. A loss says nothing of this.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from seqloom.files import plain, write_text
from seqloom.generate.base import Sampler
from seqloom.quality.copies import NEAR
from seqloom.quality.family import FLOOR_SHARE
from seqloom.quality.intervals import Numbers
from seqloom.quality.judges import Judge, search_judge
from seqloom.quality.reference import Reference
from seqloom.quality.rules import Pack
from seqloom.quality.standard import quick
from seqloom.tokens import Tokens

SAMPLES = 256
SEED = 20_000
"""Of the samples that are watched: the same latent vectors at every evaluation, so that their course can be followed."""
LINES = "monitor.jsonl"
COLLAPSED_UNIQUE = 0.9
COLLAPSED_ENTROPY = -0.5
"""Bits per column below the natural sequences, in the mean: a few modes of the family only."""
HALF = 0.5
COPIES_WEIGH = 10
"""A share of copies, in shares of what samples may lack otherwise: couplings rise while copying begins, which must not pay."""
COPIED = 0.05
"""More samples than held-out sequences, as a share, with a training sequence at 90 % identity: the alarm of the research."""
PERFECT, PERFECT_LONG = 0.98, 3
"""A critic that is right this often for so many evaluations has nothing left to teach."""


class Monitor:
    """Looks at samples of one member."""

    def __init__(
        self,
        reference: Reference,
        folder: Path | None = None,
        pack: Pack | None = None,
        conditions: np.ndarray | None = None,
        say: Callable[[str], object] = str,
    ) -> None:
        self.reference, self.folder, self.conditions, self.say = reference, folder, conditions, say
        self.pack = pack or Pack.of(reference.train, reference.alphabet)
        self.lines: list[dict[str, Any]] = _read(folder / LINES) if folder is not None else []

    def look(self, sampler: Sampler, turn: int, seen: int, numbers: Mapping[str, float]) -> float:
        """How far samples are from natural sequences, 0 or more, after evaluation `turn` and `seen` sequences.

        `numbers`: what the generator itself says, such as its losses. Lines of later turns, left by a run that was cut off, are
        written again.
        """
        started = time.monotonic()
        self.lines = [line for line in self.lines if line["turn"] < turn]
        samples = sampler.sample(SAMPLES, SEED, conditions=self._conditions())
        found = quick(samples, self.reference) | self._natural
        if np.isfinite(found["near_copies_natural"]):
            found["copy_gap"] = found["near_copies"] - found["near_copies_natural"]
        found |= self._searched(samples)
        kept = {f"rule:{name}": float(keeps.mean()) for name, keeps in self.pack.judge(samples).items()}
        line: dict[str, Any] = {"turn": turn, "seen": seen, **found, **kept, **numbers}
        line["shortfall"] = shortfall(found)
        line["alarms"] = alarms(line, self.lines)
        line["seconds"] = round(time.monotonic() - started, 3)
        self.lines.append(plain(line))
        self._keep(samples, seen)
        for alarm in line["alarms"]:
            self.say(f"  alarm after {seen:,} sequences: {alarm}")
        return float(line["shortfall"])

    def _searched(self, samples: Tokens) -> dict[str, float]:
        """Shares with a hit, and whose best hit is the family and no decoy; nothing without a family."""
        if self._search is None:
            return {}
        found = self._search(self.reference.bank(samples), self.reference)
        return {name: float(np.mean(each.values)) for name, each in found.items() if isinstance(each, Numbers)}

    @cached_property
    def _search(self) -> Judge | None:
        return search_judge(self.reference) if self.reference.family is not None else None

    @cached_property
    def _natural(self) -> dict[str, float]:
        """What held-out sequences have: their share in the family, and near copies of training sequences."""
        own, family = self.reference.held_out, self.reference.family
        members = float(family.is_member(family.bits(own)).mean()) if family is not None and len(own) else math.nan
        return {"in_family_natural": members, "near_copies_natural": self.reference.unseen_nearest.share(NEAR)}

    def _conditions(self) -> np.ndarray | None:
        if self.conditions is None:
            return None
        rows = np.random.default_rng(SEED).integers(len(self.conditions), size=SAMPLES)
        return self.conditions[rows]

    def _keep(self, samples: Tokens, seen: int) -> None:
        if self.folder is None:
            return
        write_text(self.folder / LINES, "".join(json.dumps(line) + "\n" for line in self.lines))
        texts = self.reference.alphabet.decode(samples)
        records = "".join(f">{seen}-{number}\n{text}\n" for number, text in enumerate(texts))
        write_text(self.folder / "watched" / f"{seen:09d}.fasta", records)


def shortfall(found: Mapping[str, float]) -> float:
    """How far samples are from natural ones: 0 where they are in the family, valid, distinct, no copies, and covary as the
    family does; each lack adds its share.

    Shares that are not known, such as those of a family for molecules, add nothing.
    """
    known = {name: value for name, value in found.items() if np.isfinite(value)}
    lacks = {
        "valid": 1.0 - known.get("valid", 1.0),
        "unique": 1.0 - known.get("unique", 1.0),
        "in_family": max(1 - FLOOR_SHARE - known.get("in_family", 1.0), 0.0),
        "pairs": (1.0 - max(known.get("pair_r", 1.0), 0.0)) / 2,
        "copies": COPIES_WEIGH * max(known.get("copy_gap", 0.0), 0.0),
        "entropy": max(-known.get("entropy_gap", 0.0), 0.0),
    }
    return float(sum(lacks.values()))


def alarms(line: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> list[str]:
    """What has gone wrong at this evaluation, in words; `before`: the lines of earlier ones."""
    found = []
    unique, entropy = line["unique"], line["entropy_gap"]
    # Samples that are not of the family do not align, and gaps have no entropy.
    few_modes = entropy < COLLAPSED_ENTROPY and line["in_family"] >= HALF
    if unique < COLLAPSED_UNIQUE or few_modes:
        found.append(
            f"collapse: {unique:.0%} of samples are distinct; columns have {entropy:+.2f} bits beside natural ones"
        )
    if line.get("copy_gap", 0.0) > COPIED:
        found.append(f"copying: {line['near_copies']:.0%} of samples have a training sequence at 90 % identity or more")
    recent = [each.get("accuracy", 0.0) or 0.0 for each in (*before, line)][-PERFECT_LONG:]
    if len(recent) == PERFECT_LONG and min(recent) > PERFECT:
        found.append(f"perfect critic: right about {recent[-1]:.0%} of all sequences, for {PERFECT_LONG} evaluations")
    if any(isinstance(each, float) and not np.isfinite(each) for key, each in line.items() if key.endswith("loss")):
        found.append("diverged: a loss is no finite number")
    return found


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text("utf-8").splitlines()] if path.exists() else []
