"""Homology: which family each sequence belongs to, by a search whose e-values compare between runs and years.

An e-value says how many hits as good are expected by chance, and so depends on what was searched. Here it is always that of
`SEARCH_SPACE` residues, whatever the database holds. A hit has an e-value of 0.001 at most and covers 70 % of the query; of
several, the one with most bits counts. Families compete: a sequence is on class where its best hit is in the family asked for
rather than in a decoy. No e-value says whether a sequence is a copy; that is for `quality.copies`.

Engines: `hmm`, the default, has one profile per family and takes any number of queries. `phmmer` and the programs `blastp`,
`mmseqs` and `diamond`, where they are on the PATH, compare sequence with sequence, and take a draw of many queries.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from seqloom.alphabet import PROTEIN, Alphabet
from seqloom.errors import ConfigError, DataError, MissingExtra
from seqloom.quality.embed import drawn
from seqloom.quality.family import Family
from seqloom.similarity.alignment import without_gaps
from seqloom.tokens import Tokens

if TYPE_CHECKING:
    from pyhmmer.easel import Alphabet as Easel
    from pyhmmer.easel import DigitalSequenceBlock
    from pyhmmer.plan7 import HMM, Domain, Hit

Engine = Literal["hmm", "phmmer", "blastp", "mmseqs", "diamond"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
PROGRAMS: tuple[Engine, ...] = ("blastp", "mmseqs", "diamond")

SEARCH_SPACE = 1_000_000
"""Residues that every e-value is for."""
N_SEQUENCES = SEARCH_SPACE // 350
"""The same in sequences, as HMMER counts it: a protein has some 350 residues."""
FILTERED = 1e-5
"""HMMER's filters lose hits whose probability by chance is above this: they are off where such hits are asked for."""
EVALUE = 1e-3
"""Most that is a hit: of 1,000 random sequences about one has a hit by chance in a database of the size of the search space."""
COVERAGE = 0.7
"""Least share of the query that is a hit: a shared motif or half a domain is none."""
MOST_ALIGNED = 300
"""Sequences of a label that its profile is made of."""
MOST_QUERIES: Mapping[Engine, int] = {"phmmer": 200, "blastp": 200, "mmseqs": 1000, "diamond": 1000}
MOST_TARGETS = 500
"""Sequences of a label that queries are compared with one by one: phmmer takes .1 s for a query that hits them all."""
MOST_HITS = 100
"""Sequences reported for a query by a program; the first that blastp finds is not the best it has."""
LONGEST = 100_000
"""HMMER reads no longer sequence."""


@dataclass(frozen=True, eq=False)
class Database:
    """What is searched: families by label, the one asked for and decoys. Profiles are made when they are first needed."""

    sequences: Mapping[str, Tokens]
    alphabet: Alphabet
    families: Mapping[str, Family] = field(default_factory=dict)
    """Profiles that exist already, by label."""
    seed: int = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in their order."""
        return tuple(self.sequences)

    @cached_property
    def profiles(self) -> list[Family]:
        """A profile of each label, from a draw of at most `MOST_ALIGNED` sequences."""
        return [
            self.families.get(label) or Family.of(tokens, self.alphabet, seed=self.seed, most=MOST_ALIGNED)
            for label, tokens in self.sequences.items()
        ]

    @cached_property
    def targets(self) -> Targets:
        """At most `MOST_TARGETS` sequences of each label."""
        labels, texts = [], []
        for label, tokens in enumerate(self.sequences.values()):
            chosen = drawn(len(tokens), MOST_TARGETS, self.seed)
            texts += _texts(tokens.take(chosen), self.alphabet)
            labels += [label] * len(chosen)
        return Targets(texts, np.array(labels, np.int64))


class Targets(NamedTuple):
    """Sequences to compare with, and the label of each, int64 (M,)."""

    texts: list[str]
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Hits:
    """The best hit of each of N queries that were searched; -1 and NaN where there is none."""

    rows: np.ndarray  # int64 (N,): which of the queries these are
    label: np.ndarray  # int64 (N,): index in `labels`
    bits: np.ndarray  # float64 (N,)
    evalue: np.ndarray  # float64 (N,): at `SEARCH_SPACE`
    coverage: np.ndarray  # float64 (N,): share of the query that is aligned
    identity: np.ndarray
    """Identical residues over the longer of the two lengths, float64 (N,); with engine `hmm` those of the profile's consensus."""
    labels: tuple[str, ...]
    engine: Engine

    @property
    def any(self) -> np.ndarray:
        """Whether there is a hit at all, bool (N,)."""
        return self.label >= 0

    def on(self, label: str) -> np.ndarray:
        """Whether the best hit is in the family of this label, bool (N,)."""
        return self.label == self.labels.index(label)

    def measures(self, family: str) -> dict[str, np.ndarray]:
        """What is averaged over queries, bool (N,) each: `hit_rate`, `on_class`, and `off_class` where there are decoys."""
        found = {"hit_rate": self.any, "on_class": self.on(family)}
        return found | ({"off_class": self.any & ~self.on(family)} if len(self.labels) > 1 else {})


def hits(
    queries: Tokens,
    database: Database,
    engine: Engine = "hmm",
    evalue: float = EVALUE,
    coverage: float = COVERAGE,
    seed: int = 0,
) -> Hits:
    """The best hit of each query, or of a draw of them where the engine is slow (`Hits.rows`).

    Gap symbols of queries are left out; an empty query has no hit. ConfigError where the engine is not there, or not for this
    alphabet; DataError with its last words where a program fails; MissingExtra without pyhmmer.
    """
    _check(engine, database)
    rows = drawn(len(queries), MOST_QUERIES.get(engine, len(queries)), seed)
    texts = _texts(queries.take(rows), database.alphabet)
    best = _Best(len(rows), coverage, evalue)
    if engine == "hmm":
        _by_profiles(texts, database, best)
    elif engine == "phmmer":
        _by_phmmer(texts, database.targets, best)
    else:
        _by_program(engine, texts, database.targets, best)
    found = best.label >= 0
    numbers = (best.bits, best.evalues, best.coverages, best.identities)
    bits, evalues, coverages, identities = (np.where(found, each, np.nan) for each in numbers)
    return Hits(rows, best.label, bits, evalues, coverages, identities, database.labels, engine)


def strays(database: Database, family: str, evalue: float = EVALUE) -> dict[str, float]:
    """By decoy, the share of its sequences that the profile of `family` alone takes for its own: false hits, where unrelated."""
    alone = Database(
        {family: database.sequences[family]},
        database.alphabet,
        {family: database.profiles[database.labels.index(family)]},
        database.seed,
    )
    return {
        label: float(hits(tokens, alone, evalue=evalue).any.mean())
        for label, tokens in database.sequences.items()
        if label != family and len(tokens)
    }


def available() -> tuple[Engine, ...]:
    """Engines that are installed here."""
    try:
        import pyhmmer  # noqa: F401

        own: tuple[Engine, ...] = ("hmm", "phmmer")
    except ImportError:
        own = ()
    return own + tuple(name for name in PROGRAMS if shutil.which(name))


class _Best:
    """The best hit so far of each query: the only place that decides what is a hit, and which is the better one."""

    def __init__(self, n: int, least_coverage: float, most_evalue: float) -> None:
        self.least_coverage, self.most_evalue = least_coverage, most_evalue
        self.label = np.full(n, -1, np.int64)
        self.bits, self.evalues = np.full(n, -np.inf), np.full(n, np.inf)
        self.coverages, self.identities = np.zeros(n), np.zeros(n)

    def offer(self, query: int, label: int, bits: float, evalue: float, coverage: float, identity: float) -> None:
        if evalue <= self.most_evalue and coverage >= self.least_coverage and bits > self.bits[query]:
            self.label[query], self.bits[query], self.evalues[query] = label, bits, evalue
            self.coverages[query], self.identities[query] = coverage, identity


def _check(engine: Engine, database: Database) -> None:
    alphabet = database.alphabet.name
    if engine not in ENGINES:
        raise ConfigError(f"engine = {engine!r}: no such engine; there are {', '.join(ENGINES)}")
    if alphabet == "smiles":
        raise ConfigError("molecules have no homologues: a search is of proteins, peptides, DNA or RNA")
    if engine != "hmm" and alphabet != "protein":
        raise ConfigError(f"engine = {engine!r} compares proteins, and the sequences are {alphabet}; take 'hmm'")
    if engine in PROGRAMS and shutil.which(engine) is None:
        raise ConfigError(f"engine = {engine!r} needs the program {engine} on the PATH; 'hmm' needs none")
    empty = [label for label, tokens in database.sequences.items() if not tokens.lengths.any()]
    if empty:
        raise DataError(f"families without a sequence: {', '.join(empty[:5])}; leave them out of the database")


def _by_profiles(texts: Sequence[str], database: Database, best: _Best) -> None:
    """Every query against the profile of every label, by hmmsearch with its filters on."""
    block = _digital(texts, database.alphabet)
    if not len(block):
        return
    from pyhmmer.plan7 import Pipeline

    loose = best.most_evalue > FILTERED * N_SEQUENCES
    for label, family in enumerate(database.profiles):
        profile = _parsed(family.search)
        pipeline = Pipeline(
            profile.alphabet, Z=N_SEQUENCES, domZ=N_SEQUENCES, E=best.most_evalue, bias_filter=not loose,
            F1=1.0 if loose else 0.02, F2=1.0 if loose else 1e-3, F3=1.0 if loose else FILTERED,
        )  # fmt: skip
        found = pipeline.search_hmm(profile, block)
        for hit in found.reported:
            query = int(hit.name)
            length = len(texts[query])
            covered = _union((domain.env_from, domain.env_to) for domain in _domains(hit))
            identity = _identical(hit) / max(length, profile.M)
            best.offer(query, label, hit.score, hit.evalue, covered / length, identity)


def _by_phmmer(texts: Sequence[str], targets: Targets, best: _Best) -> None:
    """Every query as a profile of its own, against every sequence."""
    queries, against = _digital(texts, PROTEIN), _digital(targets.texts, PROTEIN)
    if not len(queries):
        return
    from pyhmmer import phmmer

    found_of = phmmer(queries, against, cpus=1, Z=N_SEQUENCES, domZ=N_SEQUENCES, E=best.most_evalue)
    for sequence, found in zip(queries, found_of, strict=True):
        query = int(sequence.name)
        length = len(texts[query])
        for hit in found.reported:
            if hit.score <= best.bits[query]:
                break  # the rest have fewer bits
            target = int(hit.name)
            covered = _union((domain.alignment.hmm_from, domain.alignment.hmm_to) for domain in _domains(hit))
            identity = _identical(hit) / max(length, len(targets.texts[target]))
            best.offer(query, int(targets.labels[target]), hit.score, hit.evalue, covered / length, identity)


def _by_program(engine: Engine, texts: Sequence[str], targets: Targets, best: _Best) -> None:
    """By a program in a folder that is removed again; e-values from its bits, E = m n 2**-bits."""
    with tempfile.TemporaryDirectory(prefix="seqloom-") as name:
        folder = Path(name)
        if not _write_fasta(folder / "queries.fasta", texts):
            return
        _write_fasta(folder / "targets.fasta", targets.texts)
        _COMMANDS[engine](folder, best.most_evalue)
        lines = (folder / "hits.tsv").read_text().splitlines()
    for line in lines:
        query, target, bits, identical, start, end = (float(part) for part in line.split("\t"))
        length = len(texts[int(query)])
        best.offer(
            int(query),
            int(targets.labels[int(target)]),
            bits,
            length * SEARCH_SPACE * 2.0**-bits,
            (abs(end - start) + 1) / length,
            identical / max(length, len(targets.texts[int(target)])),
        )


def _blastp(folder: Path, evalue: float) -> None:
    _run(folder, "makeblastdb", "-in", "targets.fasta", "-dbtype", "prot", "-out", "targets")
    fields = "6 qseqid sseqid bitscore nident qstart qend"
    _run(
        folder, "blastp", "-query", "queries.fasta", "-db", "targets", "-out", "hits.tsv", "-outfmt", fields,
        "-dbsize", str(SEARCH_SPACE), "-evalue", str(evalue), "-max_target_seqs", str(MOST_HITS), "-num_threads", "1",
    )  # fmt: skip


def _mmseqs(folder: Path, evalue: float) -> None:
    # It rounds bits, and its own e-values are of the database it has: it reports more, and `_Best` judges. Without -a its
    # numbers of identical residues are silently 0.
    _run(
        folder, "mmseqs", "easy-search", "queries.fasta", "targets.fasta", "hits.tsv", "work", "-a",
        "--format-output", "query,target,bits,nident,qstart,qend", "-s", "7.5", "-e", str(10 * evalue),
        "--max-seqs", str(MOST_HITS), "--threads", "1", "-v", "1",
    )  # fmt: skip


def _diamond(folder: Path, evalue: float) -> None:
    _run(folder, "diamond", "makedb", "--in", "targets.fasta", "-d", "targets", "--quiet")
    _run(
        folder, "diamond", "blastp", "-q", "queries.fasta", "-d", "targets", "-o", "hits.tsv", "--ultra-sensitive",
        "--dbsize", str(SEARCH_SPACE), "-e", str(evalue), "-k", str(MOST_HITS), "-p", "1", "--quiet",
        "-f", "6", "qseqid", "sseqid", "bitscore", "nident", "qstart", "qend",
    )  # fmt: skip


_COMMANDS: Mapping[Engine, Callable[[Path, float], None]] = {"blastp": _blastp, "mmseqs": _mmseqs, "diamond": _diamond}


def _run(folder: Path, *command: str) -> None:
    if shutil.which(command[0]) is None:
        raise ConfigError(f"the program {command[0]} is not on the PATH; take engine = 'hmm', which needs none")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip()[-500:]
        raise DataError(f"{command[0]} ended with status {done.returncode}: {last}")


def _write_fasta(path: Path, texts: Sequence[str]) -> int:
    """Sequences named by their index, the empty ones left out; how many were written."""
    filled = [(index, text) for index, text in enumerate(texts) if text]
    path.write_text("".join(f">{index}\n{text}\n" for index, text in filled))
    return len(filled)


def _texts(tokens: Tokens, alphabet: Alphabet) -> list[str]:
    """Sequences as every engine reads them: without gaps, and with any residue in place of a stop."""
    return [text.replace("*", "X") for text in alphabet.decode(without_gaps(tokens, alphabet))]


def _digital(texts: Sequence[str], alphabet: Alphabet) -> DigitalSequenceBlock:
    """Sequences as HMMER reads them, named by their index; the empty and the longest are left out."""
    try:
        from pyhmmer.easel import Alphabet as Easel
        from pyhmmer.easel import DigitalSequenceBlock, TextSequence
    except ImportError:
        raise MissingExtra("a search for homologues", "family") from None
    easel = {"protein": Easel.amino, "dna": Easel.dna, "rna": Easel.rna}[alphabet.name]()
    readable = ((index, text) for index, text in enumerate(texts) if 0 < len(text) <= LONGEST)
    sequences = (TextSequence(name=str(index).encode(), sequence=text) for index, text in readable)
    return DigitalSequenceBlock(easel, [sequence.digitize(easel) for sequence in sequences])


def _parsed(text: str) -> HMM[Easel]:
    from pyhmmer.plan7 import HMMFile

    with HMMFile(io.BytesIO(text.encode())) as file:
        profile = file.read()
    assert profile is not None
    return profile


def _domains(hit: Hit) -> list[Domain]:
    return list(hit.domains.reported) or [hit.best_domain]


def _union(ranges: Iterable[tuple[int, int]]) -> int:
    """Residues in any of the ranges, both ends in 1-based sites."""
    total = end = 0
    for first, last in sorted(ranges):
        total += max(last - max(first - 1, end), 0)
        end = max(end, last)
    return total


def _identical(hit: Hit) -> int:
    """Residues equal to those they are aligned with: HMMER repeats them between the two rows of its alignment."""
    return sum(each.isalpha() for domain in _domains(hit) for each in domain.alignment.identity_sequence)
