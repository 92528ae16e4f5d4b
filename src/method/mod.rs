//! x
pub mod d24fad {
    pub mod student;
}
