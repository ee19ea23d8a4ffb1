"""Costs on paper: counted work against the graph's own weights, and the arithmetic by hand."""

from __future__ import annotations

import pytest

from idskit.bench import costs
from idskit.bench.costs import BOARDS, Work, cost_sections, count_work
from idskit.modelfile.graph_facts import graph_facts
from idskit.modelfile.model_file import read_model
from idskit.modelfile.model_path import model_path

WORK = Work(
    name="toy",
    int8_macs=3_200_000,
    fp32_macs=800_000,
    nodes=100,
    written_bytes=1000,
    file_bytes=2_000_000,
)


def test_a_product_and_the_nodes_of_a_model_are_counted(make_model) -> None:
    work = count_work(make_model())
    assert (work.int8_macs, work.fp32_macs) == (0, 3 * 3)
    assert work.nodes >= 2  # a product and a softmax
    assert work.file_bytes == make_model().stat().st_size


def test_multiply_adds_are_those_that_the_graph_itself_tells() -> None:
    """Read from its weights without running it, the other way of counting."""
    with model_path() as path:
        work, facts = count_work(path), graph_facts(read_model(path).graph)
    assert work.int8_macs > work.fp32_macs
    assert work.int8_macs + work.fp32_macs == pytest.approx(facts.multiply_adds, rel=0.02)


def test_an_estimate_is_peak_times_share() -> None:
    pi_5 = BOARDS[1]
    cycles = 3_200_000 / 32 + 800_000 / 8
    least, most = pi_5.flows_per_s(WORK)
    assert least == pytest.approx(0.15 * 2.4e9 / cycles)
    assert most == pytest.approx(0.40 * 2.4e9 / cycles)


def test_one_flow_takes_nodes_products_and_memory() -> None:
    pi_4 = BOARDS[0]
    products_ms = 1e3 * (3_200_000 + 800_000) / 4 / 1.8e9
    memory_ms = 2_000_000 / 12.8e9 * 1e3  # more than the cache of 1 MiB
    least, most = pi_4.one_flow_ms(WORK)
    assert least == pytest.approx(100 * 2e-3 + products_ms / 0.40 + memory_ms)
    assert most == pytest.approx(100 * 6e-3 + products_ms / 0.15 + memory_ms)


def test_what_a_cache_keeps_is_not_read_again() -> None:
    assert BOARDS[1].memory_ms(WORK) == 0


def test_the_command_prints_all_tables(make_model, capsys) -> None:
    costs.main([str(make_model())])
    printed = capsys.readouterr().out
    assert printed.count("| toy |") == 3
    assert "| multiply-adds, fp32 | 9 |" in printed


def test_the_tables_name_every_board() -> None:
    for section in cost_sections([WORK])[1:]:
        assert [row[0] for row in section.rows] == [board.name for board in BOARDS]
