//! The results as JSON, with every slice, for whoever wants to compute something else.

use crate::machine::Machine;
use crate::results::{Results, Spread, goals};
use crate::servers::Peer;
use crate::wrk::Slice;
use serde_json::{Value, json};

pub(crate) fn render(results: &Results, machine: &Machine, links: usize, seconds: u64) -> Value {
    json!({
        "date": machine.date,
        "machine": {
            "cpu": machine.cpu,
            "kernel": machine.kernel,
            "server_core": machine.cores.server,
            "load_core": machine.cores.load,
        },
        "wrk": machine.wrk,
        "links": links,
        "slice_s": seconds,
        "sample": {"requests": results.sample.requests, "links": results.sample.links},
        "servers": servers(results),
        "left_out": results.left_out.iter().map(|(peer, why)| json!({"name": peer.name(), "why": why})).collect::<Vec<_>>(),
        "scenarios": scenarios(results),
        "goals": goals(results)
            .into_iter()
            .map(|goal| json!({"goal": goal.text, "measured": goal.figure, "met": goal.met}))
            .collect::<Vec<_>>(),
    })
}

fn servers(results: &Results) -> Vec<Value> {
    let each = results.facts.iter().map(|facts| {
        json!({
            "name": facts.peer.name(),
            "version": facts.version,
            "driver": facts.driver,
            "import_s": facts.import.map(|import| import.as_secs_f64()),
            "load_s": facts.load.as_secs_f64(),
            "resident_loaded_bytes": facts.resident_loaded,
            "resident_warm_bytes": facts.resident_warm,
            "resident_after_bytes": facts.resident_after,
            "cpu_seconds": facts.cpu_seconds,
        })
    });
    each.collect()
}

fn scenarios(results: &Results) -> Vec<Value> {
    let each = results.scenarios.iter().enumerate().map(|(n, scenario)| {
        let servers = results.facts.iter().map(|facts| {
            json!({
                "name": facts.peer.name(),
                "requests_per_cpu_second": spread(results.spread(n, facts.peer, Slice::per_cpu_second)),
                "cpu_share": spread(results.spread(n, facts.peer, Slice::cpu_share)),
                "requests_per_second": spread(results.spread(n, facts.peer, Slice::per_second)),
                "p50_us": spread(results.latency(n, facts.peer, |latency| latency.p50_us)),
                "p99_us": spread(results.latency(n, facts.peer, |latency| latency.p99_us)),
                "errors": results.errors(n, facts.peer),
                "slices": results.slices(n, facts.peer).map(slice).collect::<Vec<_>>(),
            })
        });
        let others = results.facts.iter().map(|facts| facts.peer).filter(|&peer| peer != Peer::Carom);
        json!({
            "connections": scenario.connections,
            "pipelined": scenario.pipelined,
            "closing": scenario.closing,
            "servers": servers.collect::<Vec<_>>(),
            "carom_to": others.map(|peer| (peer.name().to_owned(), spread(results.ratio(n, Peer::Carom, peer))))
                .collect::<serde_json::Map<_, _>>(),
        })
    });
    each.collect()
}

fn spread(spread: Option<Spread>) -> Value {
    spread.map_or(Value::Null, |spread| {
        let (lower, upper) = spread.quartiles;
        json!({"median": spread.median, "min": spread.min, "max": spread.max, "quartiles": [lower, upper]})
    })
}

fn slice(slice: &Slice) -> Value {
    let errors = &slice.errors;
    json!({
        "requests": slice.requests,
        "seconds": slice.seconds,
        "cpu_seconds": slice.cpu_seconds,
        "p50_us": slice.latency.map(|latency| latency.p50_us),
        "p99_us": slice.latency.map(|latency| latency.p99_us),
        "errors": {
            "connect": errors.connect,
            "read": errors.read,
            "write": errors.write,
            "status": errors.status,
            "timeout": errors.timeout,
        },
    })
}
