from __future__ import annotations


def test_the_paper_stands_beside_what_was_measured_here(mtag):
    ended = mtag("bench", "--clips", "2", "--fast", "--jobs", "1", "--device", "cpu")
    assert ended.code == 0
    title, heading, *rows, stages = ended.out.splitlines()
    assert title.strip() == "2 windows of 29.1 s"
    assert "here (cpu, fp32, 1 job)" in heading
    assert [row.split()[0] for row in rows] == ["1", "2", "1+2"]
    assert rows[-1].split()[-2:] == ["2.07", "s"]
    assert "The bottleneck is " in stages


def test_a_program_reads_what_the_contract_says(mtag):
    (document,) = mtag("bench", "--clips", "2", "--jobs", "1", "--device", "cpu", "--json").records
    assert document.keys() >= {"device", "precision", "clips", "models", "ensembles", "stages"}
    assert document["models"].keys() == {"model1", "model2", "model3"}
    assert document["ensembles"].keys() >= {"1+2", "1+2+3"}
    assert document["stages"].keys() == {"decode", "features", "inference"}
