//! Exact nearest neighbours in bounded memory.
//!
//! A matrix product finds a few candidates for each query. A bound on its error tells for which queries it has found the
//! nearest rows beyond doubt; their distances are then computed directly: a query that is in the bank has distance 0,
//! not the root of a rounding error. For the others that is done of more candidates, and where the bound says that even
//! another row might be nearer, they are searched again in double precision.

use tch::{Kind, Tensor};

/// Candidates beyond the neighbours asked for, at least 1; the more, the fewer queries are searched twice.
const SPARE: usize = 2;

/// Queries and rows of the bank multiplied at once, at most.
const LARGEST: (usize, usize) = (1024, 8192);

/// Scratch bytes of distances that are computed directly at once on a CPU: its caches hold them.
const CACHED: i64 = 1 << 20;

/// Scratch memory in bytes where nothing else limits it.
pub const MAX_BYTES: usize = 256 << 20;

/// Unit roundoff of single precision.
const ROUNDOFF: f64 = 1.0 / (1u64 << 24) as f64;

/// Rows to search among.
pub struct Bank {
    /// `[n, c]`, single precision.
    rows: Tensor,
    /// Any point amid the rows, `[c]`: distances are from there, where numbers are small.
    centre: Tensor,
    /// Squared lengths of the centred rows, `[n]`, double precision.
    lengths: Tensor,
    /// The largest of them.
    longest: f64,
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
        let length = |part: Tensor| squared_lengths(&(part - &centre).to_kind(Kind::Double));
        let lengths = Tensor::cat(&rows.split(256, 0).into_iter().map(length).collect::<Vec<_>>(), 0);
        let longest = lengths.max().double_value(&[]);
        Bank { rows, centre, lengths, longest }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.size()[0] as usize
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows, `[n, c]`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// The `k` nearest rows (all, if there are fewer) of `queries` `[m, c]`, with about `room` bytes of scratch;
    /// never less than [`least_room`].
    pub fn nearest(&self, queries: &Tensor, k: usize, room: usize) -> Nearest {
        let k = k.min(self.len());
        let (n_queries, n_rows) = chunks(room, self.rows.size()[1] as usize, k);
        // Rows that are multiplied all at once are made ready once.
        let ready = (self.len() <= n_rows).then(|| self.ready(0, self.len() as i64, Kind::Float));
        let parts: Vec<Nearest> = queries
            .split(n_queries as i64, 0)
            .iter()
            .map(|part| self.search(part, k, (n_rows, room), ready.as_ref()))
            .collect();
        let cat = |side: fn(&Nearest) -> &Tensor| Tensor::cat(&parts.iter().map(side).collect::<Vec<_>>(), 0);
        Nearest { distances: cat(|part| &part.distances), rows: cat(|part| &part.rows) }
    }

    fn search(
        &self,
        queries: &Tensor,
        k: usize,
        (n_rows, room): (usize, usize),
        ready: Option<&Tensor>,
    ) -> Nearest {
        let centred = queries - &self.centre;
        let (values, rows) = self.candidates(&centred, k, n_rows, ready);
        let found = self.direct(queries, &rows.narrow(1, 0, k as i64), k, room);
        let Some(unsure) = self.unsure(&centred, &values, k) else { return found };
        drop(centred);
        let of = |tensor: &Tensor| tensor.index_select(0, &unsure);
        found.with(&unsure, &self.search_again(&of(queries), &of(&values), &of(&rows), (k, n_rows, room)))
    }

    /// The same for queries of which all candidates are to be looked at.
    fn search_again(
        &self,
        queries: &Tensor,
        values: &Tensor,
        rows: &Tensor,
        (k, n_rows, room): (usize, usize, usize),
    ) -> Nearest {
        let found = self.direct(queries, rows, k, room);
        let Some(doubtful) = self.doubtful(queries, &values.select(1, -1), &found, rows.size()[1]) else {
            return found;
        };
        let queries = queries.index_select(0, &doubtful);
        let centred = (&queries - &self.centre).to_kind(Kind::Double);
        let (_, rows) = self.candidates(&centred, k, n_rows, None);
        found.with(&doubtful, &self.direct(&queries, &rows, k, room))
    }

    /// Rows from the centre, times -2, as a product takes them.
    fn ready(&self, start: i64, count: i64, kind: Kind) -> Tensor {
        let mut rows = (self.rows.narrow(0, start, count) - &self.centre).to_kind(kind);
        let _ = rows.g_mul_scalar_(-2.0);
        rows
    }

    /// The `k` and [`SPARE`] rows that seem nearest to queries from the centre, nearest first, `[m, k + spare]`; and their
    /// squared distances less the query's squared length. All in the queries' kind; `ready` are all rows, if they are.
    fn candidates(
        &self,
        centred: &Tensor,
        k: usize,
        n_rows: usize,
        ready: Option<&Tensor>,
    ) -> (Tensor, Tensor) {
        let (wanted, kind) = ((k + SPARE).min(self.len()) as i64, centred.kind());
        let mut best: Option<(Tensor, Tensor)> = None;
        for start in (0..self.len()).step_by(n_rows) {
            let count = n_rows.min(self.len() - start) as i64;
            let rows = ready.map_or_else(|| self.ready(start as i64, count, kind), Tensor::shallow_clone);
            let lengths = self.lengths.narrow(0, start as i64, count).to_kind(kind);
            let (values, places) = lengths.addmm(centred, &rows.tr()).topk(wanted.min(count), 1, false, true);
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
            let rows = self.rows.index_select(0, &candidates.flatten(0, -1)).view([-1, n_candidates, c]);
            squared_lengths(&(rows - queries.unsqueeze(1)).to_kind(Kind::Double))
        };
        let (queries, parts) = (queries.split(at_once, 0), candidates.split(at_once, 0));
        let squares = Tensor::cat(&queries.iter().zip(&parts).map(squares).collect::<Vec<_>>(), 0);
        let (squares, order) = squares.sort_stable(true, 1, false);
        let nearest = |tensor: &Tensor| tensor.narrow(1, 0, k as i64).contiguous();
        Nearest { distances: nearest(&squares).sqrt(), rows: nearest(&candidates.gather(1, &order, false)) }
    }

    /// Queries for which a row beyond the first `k` candidates may be among the `k` nearest.
    fn unsure(&self, centred: &Tensor, values: &Tensor, k: usize) -> Option<Tensor> {
        if values.size()[1] as usize == k {
            return None;
        }
        // The bound grows by more than what single precision may take from the lengths.
        let lengths = centred.norm_scalaropt_dim(2, [-1i64].as_slice(), false);
        let error = self.error(&lengths.to_kind(Kind::Double).square()) * 1.01;
        let [last, next] = [k - 1, k].map(|place| values.select(1, place as i64).to_kind(Kind::Double));
        // What is no number is not sure.
        some((next - last).gt_tensor(&(error * 2.0)).logical_not())
    }

    /// How far squared distances that a product gives may be off, for queries of these squared lengths.
    fn error(&self, lengths: &Tensor) -> Tensor {
        // A sum of c products is off by c roundings of the product of lengths, at most; a few more roundings
        // are for centring, for the rows' own lengths and for the sum of both.
        let c = self.rows.size()[1] as f64;
        let longest = self.longest.sqrt();
        lengths.sqrt() * (2.0 * (c + 8.0) * ROUNDOFF * longest) + 8.0 * ROUNDOFF * self.longest
    }

    /// Queries for which a row that is no candidate may be nearer than the last one found.
    fn doubtful(
        &self,
        queries: &Tensor,
        furthest: &Tensor,
        found: &Nearest,
        n_candidates: i64,
    ) -> Option<Tensor> {
        if n_candidates as usize == self.len() {
            return None;
        }
        let lengths = squared_lengths(&(queries - &self.centre).to_kind(Kind::Double));
        let surely = furthest.to_kind(Kind::Double) + &lengths - self.error(&lengths);
        some(found.distances.select(1, -1).square().gt_tensor(&surely))
    }
}

impl Nearest {
    /// With the rows at `places` taken from `other`.
    fn with(&self, places: &Tensor, other: &Nearest) -> Nearest {
        Nearest {
            distances: self.distances.index_copy(0, places, &other.distances),
            rows: self.rows.index_copy(0, places, &other.rows),
        }
    }
}

/// Places that hold, `None` where there are none.
fn some(holds: Tensor) -> Option<Tensor> {
    let places = holds.nonzero().flatten(0, -1);
    (places.size()[0] > 0).then_some(places)
}

/// Bytes for each value of a candidate while its distance is computed: gathered, subtracted, doubled, squared.
const DIRECT_BYTES: usize = 24;

/// Scratch bytes of a search, roughly from above: copies of queries and rows in double precision, the
/// product and what sorting it takes, candidates.
fn bytes(n_queries: usize, n_rows: usize, c: usize, k: usize) -> usize {
    let candidates = k + SPARE;
    let direct = n_queries * candidates * 64 + candidates * c * DIRECT_BYTES;
    (n_queries + n_rows) * c * 20 + n_queries * n_rows * 24 + n_rows * 24 + 2 * direct
}

/// The least scratch with which [`Bank::nearest`] works.
pub fn least_room(c: usize, k: usize) -> usize {
    2 * bytes(16, 64, c, k)
}

/// Queries and rows at once within `room`.
fn chunks(room: usize, c: usize, k: usize) -> (usize, usize) {
    let (mut n_queries, mut n_rows) = LARGEST;
    while bytes(n_queries, n_rows, c, k) > room / 2 && (n_queries, n_rows) != (16, 64) {
        if n_rows > 4 * n_queries {
            n_rows /= 2;
        } else {
            n_queries /= 2;
        }
        (n_queries, n_rows) = (n_queries.max(16), n_rows.max(64));
    }
    (n_queries, n_rows)
}

/// `[.., c]` to `[..]`.
fn squared_lengths(rows: &Tensor) -> Tensor {
    rows.square().sum_dim_intlist(-1, false, None::<Kind>)
}
