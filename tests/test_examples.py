"""Every experiment file under examples/ says what can be done."""

from pathlib import Path

import pytest

from seqloom.config import BASELINES
from seqloom.drafts import drafts
from seqloom.generation.settings import GENERATORS, PLAIN
from seqloom.registry import build, validated
from seqloom.sections import PLAIN_SECTIONS, read_toml

FOLDER = Path(__file__).parents[1] / "examples"


GENERATING = FOLDER / "generate"
PREDICTING = sorted(path for path in FOLDER.rglob("*.toml") if path.parent != GENERATING)


@pytest.mark.parametrize("path", PREDICTING, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_every_section_and_variant_of_an_example_is_known(path):
    sections = read_toml(path)
    made = drafts(sections, ("linear",))
    assert len({draft.name for draft in made}) == len(made)
    assert not [
        draft.name for draft in made if draft.name in BASELINES and draft.sections["predictor"]["kind"] != draft.name
    ]
    distinct = []
    for draft in made:
        model = build("predictor", draft.sections["predictor"])
        rest = [draft.sections[name] for name in ("target", "encoder", "train", "calibrate")]
        assert (model, rest) not in distinct
        distinct.append((model, rest))
        for family, section in (("splitter", "split"), ("encoder", "encoder")):
            if "kind" in draft.sections[section]:
                build(family, draft.sections[section])
        for name, cls in PLAIN_SECTIONS.items():
            validated(cls, draft.sections[name], f"[{name}]")


@pytest.mark.parametrize("path", sorted(GENERATING.glob("*.toml")), ids=lambda path: path.name)
def test_every_section_and_variant_of_an_example_with_generators_is_known(path):
    made = drafts(read_toml(path, GENERATORS), (), GENERATORS)
    assert len({draft.name for draft in made}) == len(made) > 1
    for draft in made:
        build("generator", draft.sections["generator"])
        for name, cls in PLAIN.items():
            validated(cls, draft.sections[name], f"[{name}]")
