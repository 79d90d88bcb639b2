"""The runs of a study: in which order, with which settings, in which folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from promptclimb.agent.cli.parser import make_parser
from promptclimb.agent.study.preflight import check_budget, check_size
from promptclimb.evaluator.errors import ConfigError
from tests.fakes.study_outcomes import cells, study


def test_one_seed_is_whole_before_the_next_begins() -> None:
    """And the methods of one data set follow each other, so that pairs are complete."""
    order = [(cell.seed, cell.data, cell.method) for cell in cells(study())]
    assert order == [
        (seed, data, method) for seed in (1, 2) for data in ("one", "two") for method in ("random", "combine")
    ]


def test_only_what_asks_is_run_with_every_llm() -> None:
    """A method without an LLM is run once."""
    grid = cells(study(data=["one"], seeds=[1], methods=["random", "pn"], llms=["a", "b"]))
    assert [(cell.method, cell.llm, cell.config.llm) for cell in grid] == [
        ("random", None, None),
        ("pn", "a", "a"),
        ("pn", "b", "b"),
    ]


def test_the_nearer_table_wins() -> None:
    """What is said of all, then of the data set, the model, the method, the LLM."""
    grid = cells(
        study(
            data=["one", "two"],
            seeds=[1],
            methods=[{"method": "pn", "rounds": 4}],
            llms=[{"llm": "m", "temperature": 0.5}],
            search={"restarts": 1, "conversations": 1, "rounds": 2, "temperature": 0.1},
            sets={"two": {"conversations": 3, "rounds": 3}},
        )
    )
    settings = [(cell.config.restarts, cell.config.conversations, cell.config.rounds) for cell in grid]
    assert settings == [(1, 1, 4), (1, 3, 4)]
    assert {cell.config.temperature for cell in grid} == {0.5}


def test_a_method_that_uses_a_description_gets_that_of_the_set() -> None:
    """Unless it is to go without, or blind, or nothing is said of the set."""
    methods = [
        "guided",
        {"name": "class names only", "method": "guided", "describe": False},
        {"name": "blind", "method": "guided", "blind": True},
        "pn",
    ]
    grid = cells(study(seeds=[1], methods=methods, llms=["m"], describe={"one": "dice"}))
    described = {(cell.data, cell.method) for cell in grid if cell.config.describe is not None}
    assert described == {("one", "guided")}


def test_a_method_may_be_for_some_shots_and_models_alone() -> None:
    """The others have no such run."""
    grid = cells(
        study(
            data=["one"],
            seeds=[1],
            shots=[1, "all"],
            models=["RN-pico", "ViT-pico"],
            methods=["random", {"method": "combine", "shots": [1], "models": ["ViT-pico"]}],
        )
    )
    assert [(cell.model, cell.shots) for cell in grid if cell.method == "combine"] == [("ViT-pico", 1)]
    every_image = [cell for cell in grid if cell.shots == "all"]
    assert {cell.run_dir.name.split("-")[1] for cell in every_image} == {"allshot"}
    assert {cell.config.objective for cell in every_image} == {"class_mean"}
    assert len(grid) == 5


def test_limits_are_the_studys_and_flags_may_raise_them() -> None:
    """What decides nothing may be said on the command line."""
    grid = cells(study(budget={"max_calls": 9}), max_calls=10, device="cpu")
    assert {cell.config.max_calls for cell in grid} == {10}


def test_the_environment_decides_nothing() -> None:
    """A study is what its file says, on whichever machine."""
    environment = {"PROMPTCLIMB_RESTARTS": "7", "PROMPTCLIMB_DEVICE": "cpu", "OPENAI_BASE_URL": "http://x/v1"}
    (first, *_) = cells(study(), environment=environment)
    assert first.config.restarts != 7
    assert (first.config.device, first.config.base_url) == ("cpu", "http://x/v1")


@pytest.mark.parametrize("option", ["--shots", "--model", "--restarts", "--describe", "--data"])
def test_options_that_decide_the_result_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They would make another study under the same name."""
    command = ["suite", "study.toml", option, "1"]
    with pytest.raises(SystemExit):
        make_parser(command).parse_args(command)
    assert f"there is no option '{option}'" in capsys.readouterr().err


def test_data_sets_of_one_name_are_refused() -> None:
    """The tables could not distinguish them; both are named."""
    with pytest.raises(ConfigError, match="'a/x' and 'b/x' have the same name, 'x'"):
        cells(study(data=["a/x", "y", "b/x"]))


@pytest.mark.parametrize(
    "names", [["d/\u732b", "d/\u72ac"], ["a b", "a-b"], ["x" * 41, "x" * 42], ["Cats", "cats"]]
)
def test_names_that_no_folder_shows_are_distinct(names: list[str]) -> None:
    """The first keeps its plain folder, also when another is added; the same file gives the same folders."""
    alone = [cell.run_dir for cell in cells(study(data=names[:1]))]
    both = [cell.run_dir for cell in cells(study(data=names))]
    assert len(set(both)) == len(both) == 2 * len(alone)
    assert set(alone) < set(both)
    assert len({str(cell).casefold() for cell in both}) == len(both)
    assert both == [cell.run_dir for cell in cells(study(data=names))]
    named = [{"name": name, "method": "random"} for name in names]
    assert len({cell.run_dir for cell in cells(study(data=["one"], seeds=[1], methods=named))}) == 2


def test_folders_of_names_in_other_scripts_do_not_depend_on_their_order() -> None:
    """A row that is moved, or taken out before another, leaves the others where they are."""
    cat, dog = ({"name": name, "method": "random"} for name in ("\u732b", "\u72ac"))

    def folders(*methods: dict[str, str]) -> dict[str, Path]:
        return {cell.method: cell.run_dir for cell in cells(study(data=["one"], seeds=[1], methods=methods))}

    assert folders(cat, dog) == folders(dog, cat)
    assert folders(dog).items() <= folders(cat, dog).items()


def test_folders_stay_inside() -> None:
    """A name from a file is a name of one folder, whatever is in it."""
    strange = [{"name": "../../y", "method": "random"}, {"name": "..", "method": "combine"}]
    grid = cells(study(data=["../.."], methods=strange), Path("/s"))
    assert {cell.run_dir.parent for cell in grid} == {Path("/s")}
    assert all(cell.run_dir.name.isascii() and cell.run_dir.name.isprintable() for cell in grid)


def test_too_many_runs_are_refused_before_they_are_listed() -> None:
    """A slip of the finger does not fill the memory."""
    with pytest.raises(ConfigError, match="200,000 runs"):
        check_size(study(seeds=list(range(50_000))))


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"max_calls": 95}, "max_calls is 95, but one run each .2 runs of seed 1. takes 96"),
        (
            {"max_tokens": 1023},
            "max_tokens is 1,023, but the answers to one request of each run .* may take 1,024",
        ),
        ({"max_cost": 0.001}, r"max_cost is \$0.001, but the answers .* may take \$0.001024"),
        ({"max_minutes": 0}, "max_minutes is 0"),
    ],
)
def test_a_budget_too_small_for_one_run_each_is_refused(budget: dict[str, float], message: str) -> None:
    """The first seed must be payable: calls for whole runs, tokens and money for a request of each."""
    suite = study(methods=["pn", "random"], llms=[{"llm": "m", "price": "1/1"}], budget=budget)
    with pytest.raises(ConfigError, match=message):
        check_budget(suite, cells(suite))


def test_a_budget_for_one_run_each_will_do() -> None:
    """Later seeds may be left out; they are named, and in no mean."""
    suite = study(methods=["pn"], llms=["m"], budget={"max_calls": 96, "max_tokens": 1024})
    check_budget(suite, cells(suite))
