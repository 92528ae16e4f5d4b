//! Exact nearest neighbours in bounded memory.
//!
//! A matrix product finds a few candidates for each query. A bound on its error tells for which queries it has found the
//! nearest rows beyond doubt; their distances are then computed directly: a query that is in the bank has distance 0,
//! not the root of a rounding error. For the others that is done of more candidates, and where the bound says that even
//! another row might be nearer, they are searched again in double precision.

use tch::{Kind, Tensor};

use super::joined::{Centred, Joined};
use super::search_cost::{DIRECT_BYTES, SPARE, chunks, joined_at_once};

/// Scratch bytes of distances that are computed directly at once on a CPU: its caches hold them.
const CACHED: i64 = 2 << 20;

/// Roundings of bringing grids to another size: of weights and of sums of four, for queries, for rows and twice for their
/// products.
const BROUGHT: f64 = 32.0;

/// Given a first row and a number of rows: their squared lengths less twice their products with all queries, `[m, n]`, both
/// from the centre.
type Product<'a> = &'a dyn Fn(i64, i64) -> Tensor;

/// Unit roundoff of single precision.
const ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;

/// Rows to search among.
pub struct Bank {
    /// `[n, c]`, single precision.
    rows: Tensor,
    /// Any point amid the rows, `[c]`: distances are from there, where numbers are small.
    centre: Tensor,
    /// Its length.
    away: f64,
    /// Squared lengths of the centred rows, `[n]`, double precision.
    lengths: Tensor,
    /// The largest of them.
    longest: f64,
    /// What the rows are joined of, where that is known and takes less work.
    grids: Option<Grids>,
}

/// What all rows of a bank are joined of.
struct Grids {
    /// From the bank's centre, times -2 as products take them.
    rows: Centred,
    /// The most that each of them gives to the length of a row.
    longest: Vec<f64>,
}

/// The nearest rows of each query, nearest first; equally near candidates in the order of the bank.
pub struct Nearest {
    /// Euclidean, `[m, k]`, double precision.
    pub distances: Tensor,
    /// Rows of the bank, `[m, k]`.
    pub rows: Tensor,
}

impl Bank {
    /// A bank of at least one row, `[n, c]`, single precision.
    pub fn new(rows: Tensor) -> Bank {
        let centre = rows.mean_dim(0, false, None::<Kind>);
        let exactly = centre.to_kind(Kind::Double);
        let length = |part: Tensor| squared_lengths(&(part.to_kind(Kind::Double) - &exactly));
        let lengths = Tensor::cat(&rows.split(256, 0).into_iter().map(length).collect::<Vec<_>>(), 0);
        let longest = lengths.max().double_value(&[]);
        let away = squared_lengths(&exactly).double_value(&[]).sqrt();
        Bank { rows, centre, away, lengths, longest, grids: None }
    }

    /// A bank of all positions of pictures, `[n, c]`, and what they are joined of ([`Joined::grids`]): for
    /// [`Bank::nearest_joined`].
    ///
    /// # Panics
    /// Other rows than the pictures have positions.
    pub fn of_pictures(rows: Tensor, grids: &[Tensor]) -> Bank {
        let bank = Bank::new(rows);
        let Some(first) = grids.first() else { return bank };
        let positions = first.numel() as i64 / first.size()[1];
        assert_eq!(bank.len() as i64, positions, "one row for each position");
        let grids = Centred::new(grids, &bank.centre);
        let longest = grids.lengths().map(|lengths| lengths.max().double_value(&[])).collect();
        Bank { grids: Some(Grids { rows: grids.times(-2.0), longest }), ..bank }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.size()[0] as usize
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the rows and of what they are joined of.
    pub fn bytes(&self) -> usize {
        let joined = self.grids.as_ref().map_or(0, |grids| grids.rows.numel());
        (self.rows.numel() + joined) * size_of::<f32>()
    }

    /// All rows, `[n, c]`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The `k` nearest rows (all, if there are fewer) of `queries` `[m, c]`, with about `room` bytes of scratch;
    /// never less than [`least_room`](super::search_cost::least_room).
    pub fn nearest(&self, queries: &Tensor, k: usize, room: usize) -> Nearest {
        let k = k.min(self.len());
        let (n_queries, n_rows) = chunks(room, self.rows.size()[1] as usize, k);
        // Rows that are multiplied all at once are made ready once.
        let ready = (self.len() <= n_rows).then(|| self.ready_part(0, self.len() as i64, Kind::Float));
        let search = |part: &Tensor| {
            let centred = self.centred(part, Kind::Float);
            let product = |start: i64, count: i64| {
                let part = || self.ready_part(start, count, Kind::Float);
                let rows = ready.as_ref().map_or_else(part, Tensor::shallow_clone);
                self.lengths_of(start, count, Kind::Float).addmm(&centred, &rows.tr())
            };
            let lengths = centred.norm_scalaropt_dim(2, [-1i64].as_slice(), false).to_kind(Kind::Double);
            self.search(part, &self.error(&lengths), k, (n_rows, room), &product)
        };
        let parts = queries.split(n_queries as i64, 0).iter().map(search).collect();
        self.sure(queries, parts, k, room)
    }

    /// As [`Bank::nearest`], of all positions of pictures. In a bank that knows what its rows are joined of, products are taken
    /// on the coarse grids and then brought to the first ones', which is the same and a fraction of the work.
    pub fn nearest_joined(&self, queries: &Joined, k: usize, room: usize) -> Nearest {
        let known = self.grids.as_ref().filter(|_| !queries.grids().is_empty());
        let at_once = |bank: &Grids| joined_at_once(queries.positions(), bank.rows.positions(), room);
        let Some((bank, (pictures, n_rows))) = known.and_then(|bank| Some((bank, at_once(bank)?))) else {
            return self.nearest(queries.vectors(), k, room);
        };
        let k = k.min(self.len());
        let search = |start: i64| {
            let part = queries.narrow(start, pictures.min(queries.pictures() - start));
            let grids = Centred::new(part.grids(), &self.centre);
            let product = |start: i64, count: i64| {
                let lengths = self.lengths_of(start, count, Kind::Float);
                grids.product(&bank.rows, (start, count), &lengths)
            };
            let error = bank.error(&grids, self.away);
            self.search(part.vectors(), &error, k, (n_rows as usize, room), &product)
        };
        let parts = (0..queries.pictures()).step_by(pictures as usize).map(search).collect();
        self.sure(queries.vectors(), parts, k, room)
    }

    /// What `product` gives is off by at most `error`, `[m]`. Beside what was found, the queries for which another row may be
    /// nearer.
    fn search(
        &self,
        queries: &Tensor,
        error: &Tensor,
        k: usize,
        (n_rows, room): (usize, usize),
        product: Product,
    ) -> (Nearest, Option<Tensor>) {
        let (values, rows) = self.candidates(k, n_rows, product);
        let found = self.direct(queries, &rows.narrow(1, 0, k as i64), k, room);
        let Some(unsure) = unsure(&values, error, k) else { return (found, None) };
        // All candidates of these are looked at.
        let [queries, values, rows, error] =
            [queries, &values, &rows, error].map(|tensor| tensor.index_select(0, &unsure));
        let again = self.direct(&queries, &rows, k, room);
        let may_miss = (rows.size()[1] as usize) < self.len();
        let doubtful =
            may_miss.then(|| self.doubtful(&queries, &values.select(1, -1), &error, &again)).flatten();
        (found.with(&unsure, &again), doubtful.map(|places| unsure.index_select(0, &places)))
    }

    /// What was found of all `queries`, part by part; doubtful ones are searched again in double precision, all at once, since
    /// rows are brought to that for each search.
    fn sure(
        &self,
        queries: &Tensor,
        parts: Vec<(Nearest, Option<Tensor>)>,
        k: usize,
        room: usize,
    ) -> Nearest {
        let (mut found, mut doubtful, mut start) = (Vec::new(), Vec::new(), 0);
        for (nearest, places) in parts {
            doubtful.extend(places.map(|places| places + start));
            start += nearest.rows.size()[0];
            found.push(nearest);
        }
        let found = Nearest::cat(&found);
        if doubtful.is_empty() {
            return found;
        }
        let (n_queries, n_rows) = chunks(room, self.rows.size()[1] as usize, k);
        Tensor::cat(&doubtful, 0).split(n_queries as i64, 0).iter().fold(found, |found, doubtful| {
            let queries = queries.index_select(0, doubtful);
            let centred = self.centred(&queries, Kind::Double);
            let product = |start: i64, count: i64| {
                let rows = self.ready_part(start, count, Kind::Double);
                self.lengths_of(start, count, Kind::Double).addmm(&centred, &rows.tr())
            };
            let (_, rows) = self.candidates(k, n_rows, &product);
            found.with(doubtful, &self.direct(&queries, &rows, k, room))
        })
    }

    fn lengths_of(&self, start: i64, count: i64, kind: Kind) -> Tensor {
        self.lengths.narrow(0, start, count).to_kind(kind)
    }

    /// Rows from the centre, times -2, as products take them.
    fn ready_part(&self, start: i64, count: i64, kind: Kind) -> Tensor {
        self.centred(&self.rows.narrow(0, start, count), kind).g_mul_scalar_(-2.0)
    }

    /// Computed in `kind`, not only kept in it.
    fn centred(&self, vectors: &Tensor, kind: Kind) -> Tensor {
        vectors.to_kind(kind) - self.centre.to_kind(kind)
    }

    /// The `k` and [`SPARE`] rows that seem nearest, nearest first, `[m, k + spare]`, after what the product says of them.
    fn candidates(&self, k: usize, n_rows: usize, product: Product) -> (Tensor, Tensor) {
        let wanted = (k + SPARE).min(self.len()) as i64;
        let mut best: Option<(Tensor, Tensor)> = None;
        for start in (0..self.len()).step_by(n_rows) {
            let count = n_rows.min(self.len() - start) as i64;
            let (values, places) = product(start as i64, count).topk(wanted.min(count), 1, false, true);
            let places = places + start as i64;
            best = Some(match best {
                None => (values, places),
                Some((old_values, old_places)) => {
                    let values = Tensor::cat(&[old_values, values], 1);
                    let places = Tensor::cat(&[old_places, places], 1);
                    let (values, chosen) = values.topk(wanted.min(values.size()[1]), 1, false, true);
                    (values, places.gather(1, &chosen, false))
                }
            });
        }
        best.expect("a bank has rows")
    }

    /// Distances to the candidates one by one, the nearest `k` of them.
    fn direct(&self, queries: &Tensor, candidates: &Tensor, k: usize, room: usize) -> Nearest {
        let (m, n_candidates, c) = (queries.size()[0], candidates.size()[1], queries.size()[1]);
        let each = n_candidates * c * DIRECT_BYTES as i64;
        let cached = if queries.device().is_cuda() { m } else { CACHED / each };
        let at_once = (room as i64 / (2 * each)).min(cached).clamp(1, m);
        let (candidates, _) = candidates.sort(1, false);
        let squares = |(queries, candidates): (&Tensor, &Tensor)| {
            let mut rows = self.rows.index_select(0, &candidates.flatten(0, -1)).view([-1, n_candidates, c]);
            let mut apart = rows.g_sub_(&queries.unsqueeze(1)).to_kind(Kind::Double);
            apart.square_().sum_dim_intlist(-1, false, None::<Kind>)
        };
        let (queries, parts) = (queries.split(at_once, 0), candidates.split(at_once, 0));
        let squares = Tensor::cat(&queries.iter().zip(&parts).map(squares).collect::<Vec<_>>(), 0);
        let (squares, order) = squares.sort_stable(true, 1, false);
        let nearest = |tensor: &Tensor| tensor.narrow(1, 0, k as i64).contiguous();
        Nearest { distances: nearest(&squares).sqrt(), rows: nearest(&candidates.gather(1, &order, false)) }
    }

    /// How far squared distances that a product gives may be off, for queries of these lengths; single precision may have
    /// taken a little from them.
    fn error(&self, lengths: &Tensor) -> Tensor {
        // A sum of c products is off by c roundings of the product of lengths, at most; a few more roundings
        // are for centring, for the rows' own lengths and for the sum of both.
        let (c, longest) = (self.rows.size()[1] as f64, self.longest.sqrt());
        let error = lengths * (2.0 * (c + 8.0) * ROUNDOFF * longest) + 8.0 * ROUNDOFF * self.longest;
        error * 1.01
    }

    /// Queries for which a row that is no candidate may be nearer than the last one found.
    fn doubtful(
        &self,
        queries: &Tensor,
        furthest: &Tensor,
        error: &Tensor,
        found: &Nearest,
    ) -> Option<Tensor> {
        let lengths = squared_lengths(&self.centred(queries, Kind::Double));
        let surely = furthest.to_kind(Kind::Double) + lengths - error;
        // Differences are rounded before they are squared.
        let found = found.distances.select(1, -1).square() * (1.0 + 8.0 * ROUNDOFF);
        // What is no number is in doubt.
        some(found.le_tensor(&surely).logical_not())
    }
}

impl Grids {
    /// As [`Bank::error`], of products that are brought to the size of the first grid, for a bank whose centre is so far `away`
    /// from zero.
    fn error(&self, queries: &Centred, away: f64) -> Tensor {
        let longest = self.longest.iter().map(|length| length * length).sum::<f64>().sqrt();
        let each = queries.lengths().zip(queries.channels()).zip(&self.longest);
        let sum = |[products, squares]: [Tensor; 2], [product, square]: [Tensor; 2]| {
            [products + product, squares + square]
        };
        let parts = each.map(|((lengths, c), longest)| [&lengths * (c as f64 * longest), lengths.square()]);
        let [products, squares] = parts.reduce(sum).expect("there is a grid");
        let lengths = squares.sqrt();
        let error = (products + &lengths * ((8.0 + BROUGHT) * longest)) * (2.0 * ROUNDOFF);
        // What is brought to another size is rounded where it lies, not from the centre: queries and rows.
        let brought = (lengths + longest) * (2.0 * BROUGHT * ROUNDOFF * away);
        (error + brought + 8.0 * ROUNDOFF * longest * longest) * 1.01
    }
}

impl Nearest {
    /// Of the queries of all `parts`.
    fn cat(parts: &[Nearest]) -> Nearest {
        let cat = |side: fn(&Nearest) -> &Tensor| Tensor::cat(&parts.iter().map(side).collect::<Vec<_>>(), 0);
        Nearest { distances: cat(|part| &part.distances), rows: cat(|part| &part.rows) }
    }

    /// With the rows at `places` taken from `other`.
    fn with(&self, places: &Tensor, other: &Nearest) -> Nearest {
        Nearest {
            distances: self.distances.index_copy(0, places, &other.distances),
            rows: self.rows.index_copy(0, places, &other.rows),
        }
    }
}

/// Queries for which a row beyond the first `k` candidates may be among the `k` nearest.
fn unsure(values: &Tensor, error: &Tensor, k: usize) -> Option<Tensor> {
    if values.size()[1] as usize == k {
        return None;
    }
    let [last, next] = [k - 1, k].map(|place| values.select(1, place as i64).to_kind(Kind::Double));
    // What is no number is not sure.
    some((next - last).gt_tensor(&(error * 2.0)).logical_not())
}

/// Places that hold, `None` where there are none.
fn some(holds: Tensor) -> Option<Tensor> {
    let places = holds.nonzero().flatten(0, -1);
    (places.size()[0] > 0).then_some(places)
}

/// `[.., c]` to `[..]`.
fn squared_lengths(rows: &Tensor) -> Tensor {
    rows.square().sum_dim_intlist(-1, false, None::<Kind>)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::method::part::search_cost::MAX_BYTES;

    fn pictures(count: i64, level: f64, spread: f64) -> Joined {
        let one = |[c, h, w]: [i64; 3]| {
            Tensor::empty([count, c, h, w], (Kind::Float, Device::Cpu)).uniform_(0.0, 1.0) * spread + level
        };
        Joined::new([[3, 16, 12], [5, 8, 6], [2, 6, 4]].map(one).into())
    }

    /// Differences that single precision loses beside the centre, in more rows than there are candidates.
    #[test]
    fn doubtful_queries_are_searched_in_more_than_single_precision() {
        let rows = Tensor::full([64, 2], 1000.0, (Kind::Float, Device::Cpu));
        let steps = Tensor::arange(64, (Kind::Float, Device::Cpu)) * (1.0 / 16384.0);
        rows.select(1, 0).copy_(&(steps + 1000.0));
        let far = Tensor::from_slice2(&[[-389_000f32, 1000.0]]);
        let bank = Bank::new(Tensor::cat(&[rows.shallow_clone(), far], 0));
        let found = bank.nearest(&rows, 1, MAX_BYTES);
        assert_eq!(found.distances.max().double_value(&[]), 0.0);
    }

    /// Near zero, and so far from it that single precision holds little of what distinguishes vectors; each row is there twice.
    #[test]
    fn products_of_grids_err_less_than_is_said_and_nothing_nearer_is_missed() {
        tch::manual_seed(4);
        for (level, spread) in [(0.0, 1.0), (100.0, 1.0), (300.0, 0.01)] {
            let (queries, other) = (pictures(3, level, spread), pictures(2, level, spread));
            let rows = Joined::cat(&[other.narrow(0, 2), other]);
            let bank = Bank::of_pictures(rows.vectors().shallow_clone(), rows.grids());
            let apart = (bank.rows() - queries.vectors().unsqueeze(1)).to_kind(Kind::Double);
            let squares = squared_lengths(&apart);
            let centred = Centred::new(queries.grids(), &bank.centre);
            let lengths = bank.lengths.to_kind(Kind::Float);
            let grids = bank.grids.as_ref().unwrap();
            let products = centred.product(&grids.rows, (0, 768), &lengths);
            let queries_exact = queries.vectors().to_kind(Kind::Double);
            let exact = squared_lengths(&(bank.rows().to_kind(Kind::Double) - queries_exact.unsqueeze(1)));
            let lengths = squared_lengths(&(queries_exact - &bank.centre)).unsqueeze(1);
            let off = (products.to_kind(Kind::Double) + lengths - exact).abs();
            let said = grids.error(&centred, bank.away).unsqueeze(1);
            let most = (off / said).max().double_value(&[]);
            assert!(most <= 1.0, "{level}: {most} times what is said");
            // Everything at once, three pictures, half of one, and too little for any.
            let rooms = [MAX_BYTES, 3 * 2 * 12 * 192 * 192, 600_000, 1 << 14];
            for (k, room) in [1, 3].into_iter().flat_map(|k| rooms.map(|room| (k, room))) {
                let found = bank.nearest_joined(&queries, k, room);
                let (nearest, _) = squares.topk(k as i64, 1, false, true);
                assert_eq!(found.distances, nearest.sqrt(), "{level}, {k}, {room}");
            }
        }
    }
}
