"""Curves beside the real game's: the interval worked out by hand, and what the table says."""

from pathlib import Path

import pytest

from benchmarks.real_curves import Sampled, difference, main, read_real, sampled

HEAD = "map,backend,contract_version,algorithm,seed,env_steps,point,win_rate\n"


def test_welch_by_hand() -> None:
    """Two samples of variance 1 and 4: 1/3 + 4/4, freedom (4/3)^2 / ((1/3)^2/2 + 1/3) = 4.571."""
    ours = sampled([1.0, 2.0, 3.0])
    assert ours.mean == 2
    assert ours.error == pytest.approx((1 / 3) ** 0.5)
    found = difference(ours, Sampled(0.0, 1.0, 4))
    assert found is not None
    assert found[0] == 2
    assert found[2] - 2 == pytest.approx(
        2.6452 * (4 / 3) ** 0.5, rel=1e-3
    )  # t of 4.571, from a table: 2.64 to 2.65
    assert found[0] - found[1] == pytest.approx(found[2] - found[0])


def test_few_runs_have_no_interval_and_equal_ones_a_point() -> None:
    real = Sampled(0.5, 0.1, 7)
    assert difference(sampled([0.5, 0.6]), real) is None
    assert difference(sampled([0.5, 0.6, 0.7]), Sampled(0.5, None, 1)) is None
    assert difference(sampled([0.0, 0.0, 0.0]), Sampled(0.0, 0.0, 7)) == (0, 0, 0)


def test_the_real_game_s_numbers_are_read() -> None:
    assert read_real("win_rate")["2s3z", "qmix", 500_000] == Sampled(0.8758, 0.0359, 17)
    assert read_real("return_mean")["3s_vs_5z", "qplex", 0].runs > 0


def test_the_table_has_what_both_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"2s3z,sim,2,qmix,{seed},500040,500000,{0.9 + seed / 100}\n" for seed in range(3)]
    data = tmp_path / "curves.csv"
    data.write_text(HEAD + "".join(lines))
    assert main([str(data)]) == 0
    assert (
        "| 2s3z | qmix | 500,000 | 0.91 (3) | 0.88 (17) | +0.03 (-0.04 to +0.11) |" in capsys.readouterr().out
    )
    assert main([str(data), "--steps", "7"]) == 2
    assert "compare at other --steps" in capsys.readouterr().err
    first = capsys.readouterr()
    assert main([str(data), "--steps", "500000", "500000"]) == 0
    assert main([str(data), "--steps", "500000"]) == 0
    twice, once = capsys.readouterr().out.split("| map |")[1:]
    assert (twice, first.out) == (once, ""), "a step that is named twice counts every seed once"
    data.write_text(HEAD + "".join(lines + [line.replace(",2,qmix", ",1,qmix") for line in lines]))
    assert main([str(data)]) == 2
    assert "not comparable (contract_version: 1, 2" in capsys.readouterr().err
    data.write_text("a,b\n1,2\n")
    assert main([str(data)]) == 2
    assert "no file of lan-plot --data" in capsys.readouterr().err
