use super::*;

/// How often a slice has moved in memory, when slices are added in an order that has nothing to do with their times.
fn moves(slices: i64) -> usize {
    let mut all = Slices::new(Columns::default());
    let mut places: Vec<usize> = Vec::new();
    let mut moves = 0;
    for n in 0..slices {
        all.at(EventTime(n * 7_919 % slices * 1_000));
        let now: Vec<usize> = (0..=n)
            .map(|n| std::ptr::from_ref(all.at(EventTime(n * 7_919 % slices * 1_000))).addr())
            .collect();
        moves += places.iter().zip(&now).filter(|(before, now)| before != now).count();
        places = now;
    }
    moves
}

/// Short windows and events in any order: nearly every event needs a slice among those that are there.
#[test]
fn adding_slices_in_any_order_moves_few() {
    for slices in [250, 2_000] {
        let moves = moves(slices);
        assert!(moves <= 2 * slices as usize, "{moves} moves of {slices} slices");
    }
}

#[test]
fn slices_are_found_by_time_after_others_went() {
    let mut slices = Slices::new(Columns::default());
    for start in [30, 10, 50, 20, 40] {
        slices.at(EventTime(start));
    }
    for (gone, left) in [(10, vec![20, 30, 40, 50]), (40, vec![20, 30, 50]), (50, vec![20, 30])] {
        slices.remove(EventTime(gone));
        slices.remove(EventTime(gone));
        let mut from = EventTime::MIN;
        let mut found = Vec::new();
        while let Some(start) = slices.next_start(from) {
            found.push(start.0);
            assert_eq!(slices.at_or_after(from).map(|(start, _)| start), Some(start));
            from = EventTime(start.0 + 1);
        }
        assert_eq!(found, left);
        assert_eq!(slices.between(EventTime(20), EventTime(40)).count(), 2);
        assert_eq!(slices.between(EventTime(40), EventTime(20)).count(), 0);
    }
}
