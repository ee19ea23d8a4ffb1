"""``detect`` from end to end, on tables and captures."""

import io
import json
import subprocess
import sys
from datetime import datetime

import jsonschema
import numpy as np
import pytest
from tests.flows.frames import udp, write

from idskit import Detector, open_flows
from idskit.alerts.eve import Origin
from idskit.detect import detect_flows
from idskit.detect.detector_options import DetectorOptions
from idskit.errors import CaptureError, IdskitError, SchemaError
from idskit.extract.extract import extract
from idskit.flow_input import FlowInput
from idskit.generate import generate
from idskit.profiles import schema_named
from idskit.profiles.flow_reader import FlowReader
from idskit.schema import Schema


def detect(*args, **given):
    """Detect with an alert for every flow, which most of these tests count."""
    return detect_flows.detect(*args, **{"alerts": True} | given)


def alert_lines(output: io.StringIO) -> list[str]:
    """The lines of single flows: those of incidents have no flow."""
    return [line for line in output.getvalue().splitlines() if is_of_a_flow(json.loads(line))]


def is_of_a_flow(event) -> bool:
    return event["event_type"] == "stats" or event.get("alert", {}).get("severity") == 3


# A flow is an attack when it has bytes (syn flood) or packets (port scan).
ROWS = "duration,bytes,packets\n9,0,0\n0,9,0\n9,0,1\n0,0,9\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "flows.csv"
    path.write_text(ROWS)
    return path


def own(event):
    """What only idskit says of an alert."""
    return event["alert"]["context"]["idskit"]


def test_a_table_gives_a_line_for_each_attack(make_model, table) -> None:
    output = io.StringIO()
    summary = detect(make_model(), FlowInput(flows=table), output=output)
    events = [json.loads(line) for line in alert_lines(output)]
    assert [(own(e)["row"], own(e)["label"]) for e in events] == [
        (1, "syn flood"),
        (3, "port scan"),
    ]
    assert (summary.flows, summary.alerts, summary.packets) == (4, 2, None)


def test_threshold_decides(make_model, table) -> None:
    output = io.StringIO()
    detect(make_model(), FlowInput(flows=table), DetectorOptions(threshold=0.0), output=output)
    assert len(alert_lines(output)) == 4


def test_lines_go_to_standard_output(make_model, table, capsys) -> None:
    detect(make_model(), FlowInput(flows=table))
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize("given", [{}, {"capture": "a", "flows": "b"}])
def test_one_input_is_needed(make_model, given) -> None:
    with pytest.raises(IdskitError, match="name one of them"):
        detect(make_model(), FlowInput(**given))


def test_a_table_of_another_schema(make_model, tmp_path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("duration,bytes\n1,2\n")
    with pytest.raises(SchemaError, match="lacks 1 of the 3 columns of schema toy: packets"):
        detect(make_model(), FlowInput(flows=path), output=io.StringIO())


def test_lines_before_a_broken_row_are_written(make_model, tmp_path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("duration,bytes,packets\n" + "0,9,0\n" * 1024 + "0,nan,0\n")
    output = io.StringIO()
    with pytest.raises(SchemaError, match="in row 1025, column 'bytes'"):
        detect(make_model(), FlowInput(flows=path), output=output)
    assert len(alert_lines(output)) == 1024


def test_a_reader_that_goes_away_is_said_in_the_summary(make_model, tmp_path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("duration,bytes,packets\n" + "0,9,0\n" * 50_000)
    code = (
        "import sys; from idskit.detect.detect_flows import detect; "
        "from idskit.flow_input import FlowInput; "
        "found = detect(sys.argv[1], FlowInput(flows=sys.argv[2])); "
        "sys.stderr.write(f'{bool(found.lost)} {found.flows < 50_000}')"
    )
    command = [sys.executable, "-c", code, str(make_model()), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"True True"
    assert process.returncode == 0


# Community IDs of the specification's baseline for the captures that it was made from.
BASELINE = {
    "tcp": {"1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
    "udp": {"1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
    "ipv6": {"1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
    "icmp": {"1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
}


@pytest.fixture
def flow_model(make_model):
    """A model of the flow engine's own schema, at whose threshold every flow is an attack."""
    schema = schema_named("gateway")
    weights = np.zeros((len(schema), 2))
    return make_model(schema=schema, classes=("benign", "scan"), threshold=0.0, weights=weights)


@pytest.mark.parametrize("name", BASELINE)
def test_a_captures_community_ids_are_those_published(shared, flow_model, name) -> None:
    capture = shared / "data" / "pcap" / "edge" / "zeek" / f"communityid__{name}.pcap"
    output = io.StringIO()
    detect(flow_model, FlowInput(capture=capture), output=output)
    events = [json.loads(line) for line in alert_lines(output)]
    assert {event["community_id"] for event in events} == BASELINE[name]


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return generate(tmp_path_factory.mktemp("home") / "home.pcap", packets=3000, seed=1).path


def test_every_alert_of_a_capture_names_its_flow(flow_model, capture) -> None:
    output = io.StringIO()
    summary = detect(flow_model, FlowInput(capture=capture, verdict_at_s=()), output=output)
    events = [json.loads(line) for line in alert_lines(output)]
    assert [own(event)["row"] for event in events] == list(range(summary.flows))
    assert summary.packets == 3000
    both_ways = (
        event["flow"]["pkts_toserver"] + event["flow"]["pkts_toclient"] for event in events
    )
    assert sum(both_ways) == 3000


def test_alerts_are_those_of_the_detector(flow_model, capture) -> None:
    output = io.StringIO()
    given = FlowInput(capture=capture, verdict_at_s=())
    detect(flow_model, given, DetectorOptions(threshold=0.25), output=output)
    detector = Detector.load(flow_model, threshold=0.25)
    with open_flows(capture, detector.schema) as flows:
        alerts = [alert for batch in flows.batches(size=10**6) for alert in detector.alerts(batch)]
    origin = Origin(capture=str(capture))
    assert alert_lines(output) == [alert.to_eve(origin) for alert in alerts]


def events_of(model, **given):
    output = io.StringIO()
    summary = detect(model, FlowInput(**given), output=output)
    return [json.loads(line) for line in alert_lines(output)], summary


def test_a_verdict_raises_the_alert_early_and_only_once(flow_model, capture) -> None:
    late, plain = events_of(flow_model, capture=capture, verdict_at_s=())
    events, summary = events_of(flow_model, capture=capture)
    assert sorted(e["flow_id"] for e in events) == sorted(e["flow_id"] for e in late)
    early = [e for e in events if own(e)["end"] == "verdict"]
    assert len(early) > len(late) // 2
    assert summary.flows == summary.alerts == plain.flows
    assert 0 < summary.repeated < len(early)


def test_an_early_alert_tells_of_the_packets_until_then(flow_model, capture) -> None:
    late, _ = events_of(flow_model, capture=capture, verdict_at_s=())
    events, _ = events_of(flow_model, capture=capture, verdict_at_s=(0.25,))
    assert len(spans(events)) > 10
    assert max(spans(events)) < 0.5 < max(spans(late))


def spans(events) -> list[float]:
    """Seconds from the first to the last packet of flows that went on, or else of all."""
    flows = [e["flow"] for e in events if own(e)["end"] == "verdict"] or [e["flow"] for e in events]
    times = [[datetime.fromisoformat(flow[end]) for end in ("start", "end")] for flow in flows]
    return [(last - first).total_seconds() for first, last in times]


def test_a_flow_that_looks_benign_first_is_alerted_when_it_does_not(make_model, capture) -> None:
    schema = schema_named("gateway")
    weights = np.zeros((len(schema), 2))
    weights[schema.names.index("fwd_data_packets"), 1] = 1.0  # more than 4: not before packet 5
    model = make_model(schema=schema, classes=("benign", "scan"), threshold=0.99, weights=weights)
    late, _ = events_of(model, capture=capture, verdict_at_s=())
    events, summary = events_of(model, capture=capture)
    assert sorted(e["flow_id"] for e in events) == sorted(e["flow_id"] for e in late)
    assert {own(e)["end"] for e in events} > {"verdict"}
    assert summary.alerts == len(late) > 10


def test_each_flow_of_a_flood_that_goes_on_is_alerted_once(flow_model, tmp_path) -> None:
    """More of them at once than there are slots to keep flow IDs of a table in."""
    flood = [
        (second, i, udp(f"10.0.{i >> 8}.{i & 255}", "192.0.2.1", 7, 9))
        for second in (0, 2, 7, 40)
        for i in range(2000)
    ]
    write(tmp_path / "flood.pcap", flood)
    _, summary = events_of(flow_model, capture=tmp_path / "flood.pcap")
    assert (summary.flows, summary.alerts, summary.repeated) == (2000, 2000, 2000)


def test_flows_of_a_table_with_an_alert_are_kept_within_bounds(
    flow_model, capture, tmp_path, monkeypatch
) -> None:
    path = tmp_path / "flows.csv"
    made = extract(FlowInput(capture=capture, verdict_at_s=(0.5,)), path)
    _, all_kept = events_of(flow_model, flows=path)
    monkeypatch.setattr("idskit.detect.raised.MAX_ALERTED", 1)
    _, summary = events_of(flow_model, flows=path)
    assert summary.repeated < all_kept.repeated
    assert all_kept.alerts == made.flows


def test_a_table_with_verdicts_gives_the_alerts_of_its_capture(
    flow_model, capture, tmp_path
) -> None:
    extract(FlowInput(capture=capture, verdict_at_s=(1, 5, 30)), tmp_path / "flows.csv")
    alerts = [
        [own(e) for e in events_of(flow_model, **given)[0]]
        for given in ({"capture": capture}, {"flows": tmp_path / "flows.csv"})
    ]
    assert alerts[0] == alerts[1]


def test_flows_of_a_table_do_not_grow(flow_model, table) -> None:
    with pytest.raises(IdskitError, match="flows of a table do not grow older: omit it"):
        detect(flow_model, FlowInput(flows=table, verdict_at_s=(1,)))


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".arrow"])
def test_the_table_of_a_capture_gives_its_alerts(flow_model, capture, tmp_path, suffix) -> None:
    if suffix != ".csv":
        pytest.importorskip("pyarrow")
    extract(FlowInput(capture=capture), tmp_path / f"flows{suffix}", schema="gateway")
    lines = {}
    for given in (
        {"capture": capture, "verdict_at_s": ()},
        {"flows": tmp_path / f"flows{suffix}"},
    ):
        output = io.StringIO()
        detect(flow_model, FlowInput(**given), DetectorOptions(threshold=0.25), output=output)
        events = [json.loads(line) for line in alert_lines(output)]
        lines[next(iter(given))] = [e for e in events if "ICMP" not in e["proto"]]
    assert {line.pop("pcap_filename") for line in lines["capture"]} == {str(capture)}
    assert lines["capture"] == lines["flows"]
    assert len(lines["capture"]) > 100


def test_a_truncated_capture_gives_the_flows_before_the_cut(flow_model, capture, tmp_path) -> None:
    cut = tmp_path / "cut.pcap"
    cut.write_bytes(capture.read_bytes()[:-10])
    summary = detect(flow_model, FlowInput(capture=cut), output=io.StringIO())
    assert summary.packets == 2999
    assert "ends inside" in summary.truncated


def test_an_empty_capture_gives_no_alerts(flow_model, capture, tmp_path) -> None:
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(capture.read_bytes()[:24])
    summary = detect(flow_model, FlowInput(capture=empty), output=io.StringIO())
    assert (summary.flows, summary.alerts, summary.truncated) == (0, 0, "")


def test_a_file_that_is_no_capture(flow_model, table) -> None:
    with pytest.raises(CaptureError, match="pcap and pcapng are read"):
        detect(flow_model, FlowInput(capture=table), output=io.StringIO())


def test_a_model_of_a_schema_that_no_capture_gives(make_model, capture) -> None:
    with pytest.raises(SchemaError, match="columns of toy, which packets cannot give"):
        detect(make_model(), FlowInput(capture=capture), output=io.StringIO())


def test_flows_of_another_schema_are_refused_by_the_detector(flow_model, capture) -> None:
    detector = Detector.load(flow_model)
    with open_flows(capture, "cic-fixed") as flows:
        batch = next(flows.batches())
    with pytest.raises(SchemaError, match=r"reads schema gateway .* flows are of cic-fixed"):
        detector.alerts(batch)


def test_flows_with_an_infinite_feature_are_counted(make_model, tmp_path) -> None:
    schema = schema_named("cic-original")  # packets a second of a flow without a duration
    weights = np.zeros((len(schema), 3))
    capture = tmp_path / "one.pcap"
    generate(capture, packets=2000, mix="mixed", seed=1)
    with open_flows(capture, "cic-original") as flows:
        rows = np.concatenate([batch.features for batch in flows.batches()])
    model = make_model(schema=schema, weights=weights)
    summary = detect(model, FlowInput(capture=capture), output=io.StringIO())
    assert summary.unjudged == (~np.isfinite(rows)).any(axis=1).sum() > 0
    assert summary.flows == len(rows)


@pytest.fixture
def flood(tmp_path):
    return generate(tmp_path / "flood.pcap", packets=3000, mix="flood", seed=1).path


def test_a_flood_gives_a_bounded_number_of_lines_and_every_flow_is_counted(
    flow_model, flood
) -> None:
    events, summary = events_of(flow_model, capture=flood)
    *alerts, last = events
    assert 1000 <= len(alerts) <= 1002  # it lasts less than a second
    assert summary.lines_withheld == {"scan": 3000 - len(alerts)}
    assert (summary.alerts, summary.lines_lost) == (3000, 0)
    assert len(summary.incidents) == 1
    assert summary.lines_written <= len(events) + 7
    said = sum(own(event).get("withheld", 0) for event in alerts)
    assert said <= 3000 - len(alerts)
    assert last["event_type"] == "stats"
    assert last["stats"]["detect"] == {
        "alert": len(alerts),
        "alerts_suppressed": 3000 - len(alerts),
    }


def test_withheld_lines_are_counted_when_reading_fails(flow_model, flood, monkeypatch) -> None:
    def broken(self, *args):
        yield from batches(self, *args)
        raise CaptureError("interface eth0 disappeared")

    batches = FlowReader.batches
    monkeypatch.setattr(FlowReader, "batches", broken)
    output = io.StringIO()
    with pytest.raises(CaptureError, match="disappeared"):
        detect(flow_model, FlowInput(capture=flood), output=output)
    last = json.loads(alert_lines(output)[-1])
    assert sum(last["stats"]["detect"].values()) == 3000


def test_a_table_is_not_throttled(make_model, tmp_path) -> None:
    path = tmp_path / "long.csv"
    path.write_text("duration,bytes,packets\n" + "0,9,0\n" * 1500)
    events, summary = events_of(make_model(), flows=path)
    assert (len(events), summary.lines_withheld) == (1500, {})


def test_every_line_of_captures_and_tables_is_accepted_by_suricatas_schema(
    shared, flow_model, flood, make_model, table, tmp_path
) -> None:
    schema = json.loads((shared / "data" / "eve" / "schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    edge = shared / "data" / "pcap" / "edge" / "zeek"
    inputs = [(flow_model, {"capture": flood}), (make_model("toy2.onnx"), {"flows": table})]
    inputs += [
        (flow_model, {"capture": edge / f"communityid__{name}.pcap", "verdict_at_s": (0.001,)})
        for name in BASELINE
    ]
    for model, given in inputs:
        events, _ = events_of(model, **given)
        assert events
        for event in events:
            validator.validate(event)


def test_a_table_without_addresses_has_its_own_times(shared, make_model) -> None:
    output = io.StringIO()
    cases = shared / "cases" / "eve-without-timestamp" / "t.csv"
    names = cases.read_text().splitlines()[0].split(",")
    known = tuple(feature for feature in schema_named("gateway").features if feature.name in names)
    schema = Schema(name="gateway", features=known)  # of a model from before there were more
    model = make_model(schema=schema, classes=("benign", "scan"), weights=np.zeros((len(known), 2)))
    detect(model, FlowInput(flows=cases), DetectorOptions(threshold=0.0), output=output)
    rows = cases.read_text().splitlines()
    at = rows[0].split(",").index("end_us")
    ends_us = [int(row.split(",")[at]) for row in rows[1:]]
    times = [json.loads(line)["timestamp"] for line in alert_lines(output)]
    assert [datetime.fromisoformat(time).timestamp() for time in times] == pytest.approx(
        [end / 1e6 for end in ends_us], abs=1e-6
    )


def test_alerts_are_appended_to_a_file(make_model, table, tmp_path) -> None:
    path = tmp_path / "alerts.ndjson"
    for lines in (2, 4):
        summary = detect(make_model(), FlowInput(flows=table), output=path)
        assert (summary.output, summary.lines_written) == (str(path), 2)
        assert path.read_text().count("\n") == lines
        assert [json.loads(line)["event_type"] for line in path.read_text().splitlines()] == [
            "alert"
        ] * lines


def test_a_capture_is_never_appended_to(flow_model, capture) -> None:
    before = capture.read_bytes()
    with pytest.raises(IdskitError, match="it holds something else than alerts"):
        detect(flow_model, FlowInput(capture=capture), output=capture)
    assert capture.read_bytes() == before


@pytest.mark.parametrize("output", ["-o /dev/full", "> /dev/full"])
def test_a_full_disk_loses_lines_but_not_the_rest(make_model, table, output) -> None:
    command = f"{sys.executable} -m idskit detect {make_model()} --flows {table} {output}"
    out = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert (out.returncode, out.stdout) == (1, "")
    assert out.stderr.count("cannot be written: No space left on device; detection goes on") == 1
    assert "2 alerts: 4 flows" in out.stderr
    assert "2 lines were lost" in out.stderr
    assert "Traceback" not in out.stderr
