//! The phantom.
use medfsad::phantom;
#[test]
fn dump() {
    let start = std::time::Instant::now();
    println!("{:?}", phantom::write(std::path::Path::new("/tmp/phantom_out"), 1).unwrap());
    println!("{:?}", start.elapsed());
}
