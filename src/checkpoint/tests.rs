//! Which checkpoints are kept.

use super::*;
use crate::store::Objects;

#[test]
fn while_a_sink_is_away_checkpoints_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Objects::open(&folder.path().display().to_string()).unwrap();
    let checkpoints = Checkpoints::begin(&mut store, "job", 7).unwrap();
    let mut write = |frontier: Time, slowest: Time| {
        let part = checkpoints.put_part(&mut store, frontier, 0, b"state").unwrap();
        checkpoints.complete(&mut store, frontier, &Cut::new(), vec![part]).unwrap();
        checkpoints.prune(&mut store, slowest).unwrap();
        let frontiers = |folder: &str| -> Vec<Time> {
            let names = store.list(&format!("job/{folder}/")).unwrap();
            names.iter().map(|name| name.split('/').nth(2).unwrap()[..20].parse().unwrap()).collect()
        };
        assert_eq!(frontiers("parts"), frontiers("manifests"));
        frontiers("manifests")
    };
    for frontier in 1..=5 {
        write(frontier, frontier);
    }
    for frontier in 6..20 {
        write(frontier, 5);
    }
    assert_eq!(write(20, 5), [3, 4, 5, 18, 19, 20], "those that the sink needs, and the newest for when it is back");
    assert_eq!(write(21, 18), [4, 5, 18, 19, 20, 21]);
    assert_eq!(write(22, 22), [20, 21, 22]);
}
