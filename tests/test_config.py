"""Experiment files: read, overridden, spread into variants, resolved with every default filled in."""

import tomllib

import numpy as np
import pyarrow as pa
import pytest
import tomli_w

from contracts.tables import table_of
from seqloom.config import DEFAULT_PREDICTORS, Variant, refuse_twins, refuse_unused, resolve, strata_of
from seqloom.drafts import drafts
from seqloom.errors import ConfigError
from seqloom.sections import difference, override, parse_value, read_toml, slug, split_values
from seqloom.table import DataSection, read_table
from seqloom.target import TargetSection, find_target


@pytest.fixture(scope="module")
def peptide_table():
    return table_of("regression", 40)


@pytest.fixture
def written(tmp_path):
    """The sections of an experiment file with this text."""

    def read(text):
        path = tmp_path / "experiment.toml"
        path.write_text(text, "utf-8")
        return read_toml(path)

    return read


def resolved(sections, table, predictors=("linear",), target=None):
    target = target or find_target(table, TargetSection())
    return [resolve(draft, table, target) for draft in drafts(sections, predictors)]


def names(sections, predictors=("linear",)):
    return [draft.name for draft in drafts(sections, predictors)]


# Reading


def test_paths_of_tables_are_taken_from_the_folder_of_the_file(written, tmp_path):
    data = written('[data]\ntable = "a.csv"\ntest = "../b.csv"\nwhere = "x > 1"')["data"]
    assert data["table"] == (tmp_path / "a.csv").as_posix()
    assert data["test"] == (tmp_path / "../b.csv").as_posix()
    assert data["where"] == "x > 1"


@pytest.mark.parametrize("path", ["/abs/a.csv", "data:mhc/a.csv", ""])
def test_absolute_paths_and_those_in_the_data_folder_stay_as_they_are(written, path):
    assert written(f'[data]\ntable = "{path}"')["data"]["table"] == path


def test_a_missing_file_and_broken_toml_are_named(tmp_path, written):
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file"):
        read_toml(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match=r"experiment\.toml: not valid TOML: .*line 2"):
        written("[data]\ntable = a.csv\n")
    (tmp_path / "latin.toml").write_bytes("# caf\u00e9".encode("latin-1"))
    with pytest.raises(ConfigError, match="not valid TOML"):
        read_toml(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[predictr]\nkind = "cnn"', "no section [predictr]; did you mean 'predictor'?; sections: data, target"),
        ('data = "a.csv"', "data = 'a.csv': data is a section; write [data]"),
        ('[variant]\nname = "a"', "[[variant]], with two brackets"),
        ("variant = [1]", "[[variant]], with two brackets"),
    ],
)
def test_a_section_that_is_none_is_refused_when_the_file_is_read(written, text, said):
    with pytest.raises(ConfigError) as caught:
        written(text)
    assert said in str(caught.value)


def test_the_examples_can_be_read():
    from pathlib import Path

    for path in (Path(__file__).parents[1] / "examples").glob("*.toml"):
        assert drafts(read_toml(path), DEFAULT_PREDICTORS)


# Overriding


def test_a_later_setting_wins_and_the_file_stays_as_it_was():
    sections = {"train": {"seeds": 2, "lr": 0.1}}
    changed = override(override(sections, {"train.seeds": 3}), {"train.seeds": 4, "split.folds": 5})
    assert changed == {"train": {"seeds": 4, "lr": 0.1}, "split": {"folds": 5}}
    assert sections == {"train": {"seeds": 2, "lr": 0.1}}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("seeds", "--set seeds: write section.key=value"),
        ("trian.seeds", "--set trian.seeds: no section 'trian'; did you mean 'train'?"),
        ("vary.x", "no section 'vary'"),
    ],
)
def test_a_setting_of_no_section_is_refused(key, said):
    with pytest.raises(ConfigError) as caught:
        override({}, {key: 1})
    assert said in str(caught.value)


def test_a_settings_own_words_win_over_a_variants_defaults_and_a_variants_words_over_shared_ones(peptide_table):
    sections = {
        "train": {"lr": 0.1, "batch": 8},
        "variant": [{"predictor": {"kind": "mlp"}, "train": {"lr": 0.2}}, {"predictor": {"kind": "cnn"}}],
    }
    mlp, cnn = resolved(sections, peptide_table)
    assert (mlp.train.lr, mlp.train.batch) == (0.2, 8)
    assert (cnn.train.lr, cnn.train.batch) == (0.1, 8)
    assert mlp.train.patience == 10


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-3", 1e-3), ("true", True), ("'3'", "3"), ('"a b"', "a b"), ("[1, 2]", [1, 2]), ("cnn", "cnn"),
        ("cnn,mlp", "cnn,mlp"), ("007", "007"), ("", ""), ("mhc == 'H-2-Kb'", "mhc == 'H-2-Kb'"), ("64,32", "64,32"),
    ],
)  # fmt: skip
def test_values_on_the_command_line_read_as_toml_or_as_text(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_values_are_split_at_commas_outside_brackets():
    assert split_values("a,b") == ["a", "b"]
    assert split_values("[64,32], [8]") == ["[64,32]", "[8]"]
    assert split_values("1e-3, 3e-4") == ["1e-3", "3e-4"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{input=0.5,out=0.25},lstm11", ["{input=0.5,out=0.25}", "lstm11"]),
        ("[[1,2],[3]],[{a=1,b=[2,3]}]", ["[[1,2],[3]]", "[{a=1,b=[2,3]}]"]),
        ("'a,b',\"c,d\",e", ["'a,b'", '"c,d"', "e"]),
        ('{by="a,}b"},"quoted \\", still",last', ['{by="a,}b"}', '"quoted \\", still"', "last"]),
        ("5'utr, 3'utr", ["5'utr", "3'utr"]),
        ("mhc in ('a', 'b'), len(sequence) == 9", ["mhc in ('a', 'b')", "len(sequence) == 9"]),
        ("exp(-e),t^-1", ["exp(-e)", "t^-1"]),
        ("a,,b,", ["a", "b"]),
        ("a],b", ["a]", "b"]),
        ("", []),
    ],
)
def test_commas_within_brackets_and_quotes_do_not_part_values(text, values):
    assert split_values(text) == values


# Variants


def test_without_any_word_each_default_predictor_is_a_variant():
    assert names({}, DEFAULT_PREDICTORS) == list(DEFAULT_PREDICTORS)
    assert names({"predictor": {"kind": "cnn"}}, DEFAULT_PREDICTORS) == ["cnn"]


def test_vary_changes_one_key_at_a_time_and_grid_all_together():
    assert names({"predictor": {"kind": "cnn"}, "vary": {"predictor.width": [8, 16], "train.lr": [0.1]}}) == [
        "cnn-width-8", "cnn-width-16", "cnn-lr-0-1",
    ]  # fmt: skip
    grid = {"predictor": {"kind": "cnn"}, "grid": {"predictor.width": [8, 16], "predictor.kernel": [3, 5]}}
    assert names(grid) == [
        "cnn-width-8-kernel-3",
        "cnn-width-8-kernel-5",
        "cnn-width-16-kernel-3",
        "cnn-width-16-kernel-5",
    ]
    drafted = drafts(grid, ())
    assert [(d.sections["predictor"]["width"], d.sections["predictor"]["kernel"]) for d in drafted] == [
        (8, 3), (8, 5), (16, 3), (16, 5),
    ]  # fmt: skip


def test_a_key_may_be_written_quoted_or_as_a_nested_table(written):
    quoted = written('[vary]\n"train.lr" = [0.1, 0.2]')
    nested = written("[vary]\ntrain.lr = [0.1, 0.2]")
    assert names(quoted) == names(nested) == ["linear-lr-0-1", "linear-lr-0-2"]


def test_varying_the_predictor_names_variants_by_their_kind():
    assert names({"vary": {"predictor.kind": ["cnn", "mlp"]}}, DEFAULT_PREDICTORS) == ["cnn", "mlp"]
    assert names({"grid": {"predictor.kind": ["cnn"], "train.seed": [0, 1]}}) == ["cnn-seed-0", "cnn-seed-1"]


def test_lists_in_variants_are_named_with_a_cross():
    assert names({"predictor": {"kind": "mlp"}, "vary": {"predictor.hidden": [[64, 32], [8]]}}) == [
        "mlp-hidden-64x32", "mlp-hidden-8",
    ]  # fmt: skip


@pytest.mark.parametrize("keys", [("predictor.kind", "predictor.width"), ("predictor.width", "predictor.kind")])
def test_a_grid_over_kind_and_a_key_of_it_keeps_the_key_in_either_order(keys):
    values = {"predictor.kind": ["cnn"], "predictor.width": [8, 16]}
    drafted = drafts({"predictor": {"kind": "mlp"}, "grid": {key: values[key] for key in keys}}, ())
    assert [draft.sections["predictor"] for draft in drafted] == [
        {"kind": "cnn", "width": 8},
        {"kind": "cnn", "width": 16},
    ]


def test_variants_written_one_by_one_share_what_they_do_not_say(written, peptide_table):
    sections = written(
        '[train]\nseeds = 2\n[[variant]]\nname = "Big CNN"\npredictor.kind = "cnn"\npredictor.width = 128\n'
        '[[variant]]\npredictor = "linear"\n'
    )
    big, linear = resolved(sections, peptide_table)
    assert (big.name, linear.name) == ("big-cnn", "linear")
    assert big.predictor.width == 128
    assert big.train.seeds == linear.train.seeds == 2
    assert big.seeds == (0, 1)
    assert linear.seeds == (0,)  # there is no randomness in it


def test_settings_of_one_kind_are_not_taken_over_by_another(peptide_table):
    sections = {
        "predictor": {"kind": "cnn", "width": 8},
        "variant": [{"predictor": {"kind": "mlp"}}, {"predictor": {"kernel": 3}}],
    }
    mlp, cnn = resolved(sections, peptide_table)
    assert (mlp.predictor.kind, cnn.predictor.kind) == ("mlp", "cnn")
    assert (cnn.predictor.width, cnn.predictor.kernel) == (8, 3)


def test_a_shared_key_goes_to_the_kinds_that_have_it(peptide_table):
    sections = {"predictor": {"width": 8}}
    linear, cnn = resolved(sections, peptide_table, ("linear", "cnn"))
    assert cnn.predictor.width == 8
    assert linear.predictor.kind == "linear"
    with pytest.raises(ConfigError, match="no setting 'widht'; did you mean 'width'"):
        resolved({"predictor": {"widht": 8}}, peptide_table, ("cnn", "mlp"))


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"variant": [{"name": "a"}]}, "[[variant]] 1 names no predictor; write predictor.kind"),
        (
            {"variant": [{"predictor": {"kind": "cnn"}, "split": {"folds": 3}}]},
            "'split' cannot differ between variants",
        ),
        ({"variant": [{"predictor": {"kind": "cnn"}, "tran": {}}]}, "did you mean 'train'?"),
        ({"variant": [{"predictor": "cnn"}, {"predictor": "cnn"}]}, "two variants are called 'cnn'"),
        ({"vary": {"split.folds": [1, 2]}}, "[vary] split.folds: variants of one comparison share table and partition"),
        ({"vary": {"predictr.width": [1]}}, "did you mean 'predictor'?"),
        ({"grid": {"train.lr": 0.1}}, "[grid] train.lr = 0.1: give a list of values"),
        ({"grid": {"train.lr": []}}, "give a list of values"),
        ({"vary": {"train": [1]}}, "[vary] train: write it as section.key"),
        ({"variant": [{"name": "-", "predictor": "cnn"}]}, "'-' cannot be made a name"),
        ({"predictor": {"kind": ["cnn", "mlp"]}}, "[predictor] kind = ['cnn', 'mlp']: no such predictor"),
        ({"predictor": {"kind": 1}}, "[predictor] kind = 1: no such predictor"),
        ({"variant": [{"predictor": {"kind": "cnnn"}}]}, "did you mean 'cnn'?"),
    ],
)
def test_variants_that_cannot_be_are_refused_with_what_to_write(sections, said, peptide_table):
    with pytest.raises(ConfigError) as caught:
        resolved(sections, peptide_table)
    assert said in str(caught.value)


def test_names_are_of_letters_digits_and_hyphens():
    assert slug("My CNN (2 layers), lr=1e-3") == "my-cnn-2-layers-lr-1e-3"
    with pytest.raises(ConfigError, match="cannot be made a name"):
        slug("***")


# What is refused as a whole


def test_variants_that_come_out_alike_are_refused_by_name(peptide_table):
    sections = {
        "variant": [{"name": "a", "predictor": "cnn"}, {"name": "b", "predictor": {"kind": "cnn", "width": 64}}]
    }
    with pytest.raises(ConfigError, match="variants 'a' and 'b' resolve to the same settings"):
        refuse_twins(resolved(sections, peptide_table))
    refuse_twins(resolved({}, peptide_table, DEFAULT_PREDICTORS))


@pytest.mark.parametrize("key", ["lr", "epochs", "batch", "patience", "schedule", "weight_decay"])
def test_settings_of_nets_are_refused_where_there_is_no_net(peptide_table, key):
    sections = {"train": {key: {"schedule": "constant"}.get(key, 1), "seeds": 2, "device": "cpu"}}
    with pytest.raises(ConfigError, match=rf"\[train\] {key}: used by nets only, and there is none among knn, linear"):
        refuse_unused(sections, resolved(sections, peptide_table, ("linear", "knn")))
    refuse_unused(sections, resolved(sections, peptide_table, ("linear", "mlp")))


def test_seeds_and_device_may_be_named_without_a_net(peptide_table):
    sections = {"train": {"seeds": 3, "seed": 1, "device": "cpu"}}
    variants = resolved(sections, peptide_table)
    refuse_unused(sections, variants)
    assert {variant.train.seed for variant in variants} == {1}


def test_an_encoder_that_a_lone_predictor_cannot_take_is_refused(peptide_table):
    sections = {"encoder": {"kind": "kmer"}, "predictor": {"kind": "cnn"}}
    with pytest.raises(ConfigError) as caught:
        resolved(sections, peptide_table)
    assert "predictor 'cnn' takes tokens, and encoder 'kmer' gives features; leave [encoder] out" in str(caught.value)
    own = {"variant": [{"predictor": "linear", "encoder": "tokens"}]}
    with pytest.raises(ConfigError, match="takes features, and encoder 'tokens' gives tokens"):
        resolved(own, peptide_table)


def test_a_shared_encoder_goes_to_the_predictors_that_take_it_and_must_go_to_one(peptide_table):
    sections = {"encoder": {"kind": "kmer", "k": 3}}
    linear, cnn = resolved(sections, peptide_table, ("linear", "cnn"))
    assert (linear.encoder.kind, linear.encoder.k, cnn.encoder.kind) == ("kmer", 3, "tokens")
    refuse_unused(sections, [linear, cnn])
    with pytest.raises(ConfigError, match=r"\[encoder\] kind = 'kmer': no variant uses it \(cnn takes tokens\)"):
        refuse_unused(sections, [cnn])


# Defaults


def test_the_encoder_is_chosen_by_how_the_sequences_lie():
    def usual(sequences, alphabet="protein"):
        data = pa.table({"sequence": sequences, "y": np.arange(len(sequences), dtype=float)})
        table = read_table(data, DataSection(sequence=("sequence",), alphabet=alphabet), ("y",))
        (variant,) = resolved({}, table)
        return variant.encoder.kind, getattr(variant.encoder, "k", None)

    assert usual(["ACDEF", "ACDEG", "ACD"]) == ("one-hot", None)
    assert usual(["A" * 300, "C" * 300]) == ("one-hot", None)
    assert usual(["A" * 300, "C" * 299]) == ("kmer", 2)
    assert usual(["A" * 31, "C" * 3]) == ("kmer", 2)
    assert usual(["ACGT" * 20, "ACGTA"], "dna") == ("kmer", 4)
    assert usual(["CCO", "CCN"], "smiles") == ("kmer", 4)


def test_classes_are_strata_and_numbers_are_not(peptide_table):
    assert strata_of(find_target(peptide_table, TargetSection()), np.zeros((40, 1))) is None
    binary = table_of("binary", 40)
    target = find_target(binary, TargetSection())
    assert strata_of(target, target.read(binary)).tolist() == target.read(binary)[:, 0].tolist()


def test_the_target_is_resolved_to_its_column_and_task(peptide_table):
    (variant,) = resolved({}, peptide_table)
    assert variant.target.column == ("target",)
    assert variant.target.task == "regression"


# Resolved


def test_a_resolved_variant_comes_back_from_its_toml_text(peptide_table):
    sections = {
        "data": {"alphabet": {"sequence": "protein"}, "where": "x == 'a'"},
        "target": {"positive_below": 500.0},
        "report": {"metrics": ["rmse"], "draws": 200},
        "train": {"lr": 3e-4},
    }
    for variant in resolved(sections, peptide_table, DEFAULT_PREDICTORS):
        text = tomli_w.dumps(variant.resolved)
        again = Variant.from_resolved(variant.name, tomllib.loads(text))
        assert again == variant
        assert again.resolved == variant.resolved
        assert tomli_w.dumps(again.resolved) == text


def test_every_default_is_written_out(peptide_table):
    (mlp,) = resolved({}, peptide_table, ("mlp",))
    assert mlp.resolved["train"]["epochs"] == 0
    assert mlp.resolved["predictor"] == {"kind": "mlp", "hidden": [128, 64], "dropout": 0.3}
    assert mlp.resolved["split"] == {
        "kind": "similarity", "seed": 0, "shared": "stop", "inner": 1, "test": 0.2, "folds": 1, "identity": 0.5, "search": "auto",
        "largest": 1.0,
    }  # fmt: skip
    assert mlp.resolved["target"]["task"] == "regression"


def test_differences_are_told_key_by_key_with_none_for_an_absent_one(peptide_table):
    sections = {
        "variant": [{"predictor": "cnn"}, {"name": "b", "predictor": {"kind": "cnn", "width": 8}, "train": {"lr": 0.1}}]
    }
    left, right = resolved(sections, peptide_table)
    assert difference(left.resolved, right.resolved) == {"predictor.width": (64, 8), "train.lr": (0.001, 0.1)}
    assert difference(left.resolved, left.resolved) == {}
    assert difference({"a": {"x": 1}}, {"a": {"y": None, "x": 1}, "b": {"z": 2}}) == {"b.z": (None, 2)}


# A file that builds on another


def test_a_file_has_all_of_its_base_with_its_own_settings_over_it(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "base.toml").write_text(
        '[data]\ntable = "t.csv"\n[predictor]\nkind = "cnn"\nwidth = 8\n[train]\nseeds = 3\n[vary]\ntrain.lr = [1, 2]\n'
    )
    (tmp_path / "own.toml").write_text('base = "base/base.toml"\n[predictor]\nkind = "mlp"\n[train]\nlr = 0.1\n')
    sections = read_toml(tmp_path / "own.toml")
    assert sections["data"]["table"] == (tmp_path / "base" / "t.csv").as_posix()
    assert sections["predictor"] == {"kind": "mlp"}
    assert sections["train"] == {"seeds": 3, "lr": 0.1}
    assert sections["vary"] == {"train": {"lr": [1, 2]}}
    (tmp_path / "own.toml").write_text('base = "base/base.toml"\n[grid]\ntrain.batch = [1, 2]\n')
    assert "vary" not in read_toml(tmp_path / "own.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base = 3", "name one experiment file"),
        ('base = "none.toml"', "no such file"),
        ('base = "own.toml"', "in a circle"),
    ],
)
def test_a_base_that_cannot_be_is_refused(tmp_path, text, words):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_toml(tmp_path / "own.toml")
