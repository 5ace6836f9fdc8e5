//! The examples, run: each ends with assertions of its own.

#[path = "../examples/custom_sink.rs"]
mod custom_sink;
#[path = "../examples/custom_source.rs"]
mod custom_source;
#[path = "../examples/embed_graph.rs"]
mod embed_graph;

#[test]
fn embedding_the_graph() {
    embed_graph::main();
}

#[test]
fn a_custom_source() {
    assert_eq!(custom_source::main(), Ok(()));
}

#[test]
fn a_custom_sink() {
    assert_eq!(custom_sink::main(), Ok(()));
}
