"""Parts of a store by components: held-out levels, exact parts, and that a model cannot learn from the others."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import seqloom
from seqloom.errors import ConfigError, DataError, LeakError
from seqloom.library import Library, LibrarySettings, write_library
from seqloom.store import Store, open_store
from seqloom.store.components import PARTS, ComponentParts
from seqloom.store.order import BlockOrder


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    folder = tmp_path_factory.mktemp("library")
    write_library(Library.of(LibrarySettings(rows=20_000)), folder / "t.parquet")
    names = {"target": "target1,target2,target3", "component": "block1,block2,block3"}
    seqloom.pack([folder / "t.parquet"], folder / "store", sequence="smiles", **names)
    return open_store(folder / "store")


def names_of(store: Store) -> dict[str, np.ndarray]:
    return {name: np.array(store.levels(name))[ids] for name, ids in store.components.items()}


def test_parts_are_those_of_a_loop_over_names(store):
    parts = ComponentParts.draw(store, held_out=0.3, valid=0.1, test=0.1)
    found = parts.parts_of(np.arange(len(store)))
    own = names_of(store)
    out = {each for name, held in parts.held.items() for each in np.array(store.levels(name))[held[:-1]]}
    for row in range(0, len(store), 37):
        n_held = sum(own[name][row] in out for name in own)
        expected = {0: ("train", "valid", "share"), 3: ("nonshare",)}.get(n_held, ("mixed",))
        assert PARTS[found[row]] in expected
    counts = parts.counts()
    assert sum(counts.values()) == len(store)
    assert counts == dict(zip(PARTS, np.bincount(found, minlength=5).tolist(), strict=True))
    known = counts["train"] + counts["valid"] + counts["share"]
    assert counts["valid"] / known == pytest.approx(0.1, abs=0.02)
    assert counts["share"] / known == pytest.approx(0.1, abs=0.02)
    assert known / len(store) == pytest.approx(0.7**3, abs=0.03)


def test_components_with_a_name_in_common_hold_out_the_same_names(store):
    parts = ComponentParts.draw(store, held_out=0.25)
    out = {name: set(np.array(store.levels(name))[held[:-1]]) for name, held in parts.held.items()}
    shared = set(store.levels("block2")) & set(store.levels("block3"))
    assert out["block2"] & shared == out["block3"] & shared
    assert len(out["block1"]) == round(0.25 * len(store.levels("block1")))


def test_subsets_are_the_rows_of_their_part_and_an_epoch_holds_each_once(store):
    parts = ComponentParts.draw(store, held_out=0.2)
    found = parts.parts_of(np.arange(len(store)))
    for place, name in enumerate(PARTS):
        order = BlockOrder(store, 64, 0, parts.part(name), native=False)
        drawn = np.concatenate([np.zeros(0, np.int64), *(batch.rows for batch in order.batches(0))])
        assert sorted(drawn.tolist()) == np.flatnonzero(found == place).tolist()


def test_learning_from_any_other_row_raises(store):
    parts = ComponentParts.draw(store, held_out=0.2)
    found = parts.parts_of(np.arange(len(store)))
    train = np.flatnonzero(found == 0)
    parts.refuse_all_but_train(train)
    for place in range(1, 5):
        leak = np.append(train[:100], np.flatnonzero(found == place)[:1])
        with pytest.raises(LeakError, match=f"1 of 101 rows .* which is {PARTS[place]}"):
            parts.refuse_all_but_train(leak)


def test_what_is_held_out_does_not_depend_on_the_order_or_number_of_rows(store, tmp_path):
    own = names_of(store)
    table = pa.table({"smiles": ["CCO", "CCN", "CCC"], **{name: own[name][[5, 3, 1]] for name in own}})
    pq.write_table(table, tmp_path / "t.parquet")
    seqloom.pack([tmp_path / "t.parquet"], tmp_path / "s", sequence="smiles", component="block1,block2,block3")
    few = open_store(tmp_path / "s")
    first, again = (ComponentParts.draw(each, held_out=0.5, seed=3) for each in (store, store))
    assert all((first.held[name] == again.held[name]).all() for name in own)
    assert set(few.levels("block1")) <= set(store.levels("block1"))
    other = ComponentParts.draw(store, held_out=0.5, seed=4)
    assert any((first.held[name] != other.held[name]).any() for name in own)


def test_more_held_out_holds_out_the_same_names_and_others(store):
    some, more = (ComponentParts.draw(store, held_out=share) for share in (0.1, 0.4))
    assert all((more.held[name] >= some.held[name]).all() for name in some.held)


def test_what_cannot_be_divided_is_said(store, tmp_path):
    with pytest.raises(ConfigError, match=r"no component 'block9' \(components: block1, block2, block3\)"):
        ComponentParts.draw(store, ("block9",))
    with pytest.raises(ConfigError, match="held_out = 1 "):
        ComponentParts.draw(store, held_out=1)
    pq.write_table(pa.table({"smiles": ["CCO", "CCN"], "only": ["a", "a"]}), tmp_path / "t.parquet")
    seqloom.pack([tmp_path / "t.parquet"], tmp_path / "s", sequence="smiles", component="only")
    with pytest.raises(DataError, match="holding it out leaves nothing"):
        ComponentParts.draw(open_store(tmp_path / "s"))
