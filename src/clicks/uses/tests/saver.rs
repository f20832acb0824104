//! The thread that saves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::{Uses, UsesNews, UsesSaver};
use super::{dir, open, take_many};
use crate::log::disk::simulated::SimulatedDisk;

const INTERVAL: Duration = Duration::from_millis(1);

/// Waits for what another thread does soon.
fn wait_for(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "it does not come");
        std::thread::sleep(INTERVAL);
    }
}

#[test]
fn it_saves_by_itself_and_once_more_at_the_end() {
    let disk = SimulatedDisk::new(0);
    let uses = Arc::new(open(&disk));
    let saver = UsesSaver::start_with(Arc::clone(&uses), INTERVAL, |_| panic!("nothing is to be told")).unwrap();
    take_many(&uses, 1, 5);
    wait_for(|| open(&disk).used(1) == 5);
    saver.stop().unwrap();

    let saver = UsesSaver::start(Arc::clone(&uses), |_| panic!("nothing is to be told")).unwrap();
    take_many(&uses, 1, 1);
    saver.stop().unwrap();
    assert_eq!(open(&disk).used(1), 6);

    let saver = UsesSaver::start(Arc::clone(&uses), |_| panic!("nothing is to be told")).unwrap();
    take_many(&uses, 1, 1);
    drop(saver);
    assert_eq!(open(&disk).used(1), 7);
}

#[test]
fn it_tells_when_saving_begins_to_fail_and_when_it_works_again() {
    let disk = SimulatedDisk::new(0);
    let uses = Arc::new(open(&disk));
    let (tell, told) = crossbeam_channel::unbounded();
    let tell = move |saved| tell.send(saved).expect("the test listens");
    let saver = UsesSaver::start_with(Arc::clone(&uses), INTERVAL, tell).unwrap();
    for round in 1..=2 {
        disk.set_capacity(Some(0));
        take_many(&uses, 1, 1);
        let error = told.recv().unwrap().unwrap_err().to_string();
        assert!(error.contains("/uses") && error.contains("Free some space"), "{error}");
        let calls = disk.calls();
        wait_for(|| disk.calls() > calls + 10);
        assert!(told.is_empty(), "it is told once");
        disk.set_capacity(None);
        assert_eq!(told.recv().unwrap().unwrap(), UsesNews::SavedAgain);
        assert_eq!(open(&disk).used(1), round);
    }
    disk.set_capacity(Some(0));
    take_many(&uses, 1, 1);
    saver.stop().unwrap_err();
    assert!(told.len() <= 1);
}

#[test]
fn it_tells_once_that_no_more_links_are_counted() {
    let uses = Uses::open_with(Arc::new(SimulatedDisk::new(0)), dir(), 1).unwrap();
    let uses = Arc::new(uses);
    let (tell, told) = crossbeam_channel::unbounded();
    let tell = move |news| tell.send(news).expect("the test listens");
    let saver = UsesSaver::start_with(Arc::clone(&uses), INTERVAL, tell).unwrap();
    assert!(uses.take(1, 5) && !uses.take(2, 5));
    assert_eq!(told.recv().unwrap().unwrap(), UsesNews::Full);
    assert!(!uses.take(2, 5));
    saver.stop().unwrap();
    assert!(told.is_empty());
    let status = uses.status();
    assert_eq!((status.links, status.links_max, status.refused), (1, 1, 2));
}
