//! Nearest neighbours against brute force.

use super::*;

#[test]
fn nearest_neighbours_are_those_of_brute_force_in_any_amount_of_memory() {
    let rows = noise("bank", &[700, 40]);
    let queries = Tensor::cat(&[noise("queries", &[50, 40]), rows.narrow(0, 300, 20)], 0);
    let (expected, order) = brute(&queries, &rows).sort(1, false);
    let bank = Bank::new(rows);
    for room in [least_room(40, 3), 1 << 20, MAX_BYTES] {
        let found = bank.nearest(&queries, 3, room);
        assert!(worst(&found.distances, &expected.narrow(1, 0, 3)) < 1e-5);
        assert!(found.rows.equal(&order.narrow(1, 0, 3)), "other rows with {room} bytes");
    }
    assert_eq!(bank.nearest(&queries, 1000, MAX_BYTES).rows.size(), [70, 700]);
}

/// Far from the bank's centre a product in single precision cannot tell close rows apart.
#[test]
fn nearest_neighbours_survive_cancellation() {
    let (near, far) = (noise("near", &[400, 64]) * 0.01 + 300.0, noise("far", &[400, 64]) * 0.01 - 300.0);
    let rows = Tensor::cat(&[near, far], 0);
    let queries = Tensor::cat(&[&rows, &(rows.narrow(0, 0, 50) + 0.002)], 0);
    let (expected, order) = brute(&queries, &rows).min_dim(1, false);
    let found = Bank::new(rows).nearest(&queries, 1, MAX_BYTES);
    assert!(worst(&found.distances.squeeze_dim(1), &expected) < 1e-6);
    assert!(found.rows.squeeze_dim(1).equal(&order));
    assert_eq!(found.distances.narrow(0, 0, 800).max().double_value(&[]), 0.0);
}

#[test]
fn the_first_of_equal_rows_is_the_nearest() {
    let rows = noise("rows", &[3, 5]).repeat([2, 1]);
    let found = Bank::new(rows.shallow_clone()).nearest(&rows, 2, MAX_BYTES);
    let first: Vec<i64> = Vec::try_from(found.rows.flatten(0, -1)).expect("numbers");
    assert_eq!(first, [0, 3, 1, 4, 2, 5, 0, 3, 1, 4, 2, 5]);
}

/// Some queries have one row that is nearest beyond doubt, some have two that a product can hardly tell apart.
#[test]
fn nearest_neighbours_are_those_of_brute_force_where_rows_are_nearly_equal() {
    let rows = noise("rows", &[500, 64]);
    let twins = rows.narrow(0, 100, 200) + noise("differences", &[200, 64]) * 1e-4;
    let rows = Tensor::cat(&[rows, twins], 0);
    let queries = noise("queries", &[300, 64]) + rows.narrow(0, 0, 300);
    let (expected, order) = brute(&queries, &rows).sort(1, false);
    let bank = Bank::new(rows);
    for k in [1, 2, 5] {
        let found = bank.nearest(&queries, k, MAX_BYTES);
        let k = k as i64;
        assert!(worst(&found.distances, &expected.narrow(1, 0, k)) < 1e-6);
        assert!(found.rows.equal(&order.narrow(1, 0, k)), "{k} neighbours");
    }
}
