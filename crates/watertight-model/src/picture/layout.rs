//! Layers from left to right: where boxes stand and lines run.
//!
//! Longest-path layers, a point for each layer a line passes through, barycentre sweeps against crossings, then each layer's heights by
//! least squares with the order kept (pool adjacent violators). Deterministic, and linear in the size of the picture for each sweep.

/// A box to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A line between two boxes, and the width of its label.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label_width: f64,
}

/// A placed picture.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    /// The upper left corner of each box, and its width, which is that of its layer.
    pub(super) boxes: Vec<Place>,
    /// For each line: where it leaves, the layers it passes through, and where it ends.
    pub(super) routes: Vec<Route>,
}

/// Where a box stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Where a line runs: points that it goes through horizontally, the label on the last stretch.
#[derive(Debug, Default)]
pub(super) struct Route {
    /// Pairs of x where a horizontal stretch begins and ends, with its y.
    pub(super) stretches: Vec<(f64, f64, f64)>,
}

/// Between boxes of a layer.
const ROW_GAP: f64 = 26.0;
/// Room for the bend of lines between two layers.
const BEND: f64 = 64.0;
/// Between two lines at the side of a box.
const PORT_GAP: f64 = 20.0;
/// What a line takes in a layer that it passes through.
const PASSING: f64 = 18.0;
/// Sweeps against crossings; more change nothing on graphs a person can read.
const SWEEPS: usize = 16;
/// With more steps than this nobody follows single lines any more, and counting crossings takes the square of them.
const COUNTED_MAX: usize = 2000;

/// The least height of a box with this many lines at one side.
pub(super) fn height_for(lines: usize) -> f64 {
    f64::from(u32::try_from(lines).unwrap_or(u32::MAX)) * PORT_GAP + 8.0
}

/// A box, or a point where a line passes through a layer.
struct Node {
    layer: usize,
    height: f64,
    center: f64,
    /// The box, or none for a point.
    of: Option<usize>,
}

/// One step of a line from one layer to the next.
struct Hop {
    from: usize,
    to: usize,
}

/// Places boxes so that every line runs to the right. `first` boxes are put in a layer of their own before all others.
pub(super) fn place(sizes: &[Size], links: &[Link], first: usize) -> Layout {
    let layers_of = layers(sizes.len(), links, first);
    let mut nodes: Vec<Node> = sizes
        .iter()
        .enumerate()
        .map(|(index, size)| Node { layer: layers_of[index], height: size.height, center: 0.0, of: Some(index) })
        .collect();
    let mut hops = Vec::new();
    let mut chains = Vec::new();
    for link in links {
        let mut chain = vec![link.from];
        for layer in layers_of[link.from] + 1..layers_of[link.to] {
            nodes.push(Node { layer, height: PASSING, center: 0.0, of: None });
            chain.push(nodes.len() - 1);
        }
        chain.push(link.to);
        hops.extend(chain.windows(2).map(|pair| Hop { from: pair[0], to: pair[1] }));
        chains.push(chain);
    }
    let mut rows = rows(&nodes);
    let neighbours = Neighbours::new(nodes.len(), &hops);
    order(&mut rows, nodes.len(), &hops, &neighbours);
    heights(&rows, &mut nodes, &neighbours);
    columns(sizes, links, &nodes, &rows, &chains)
}

/// The longest way to each box from one that nothing leads to.
fn layers(count: usize, links: &[Link], first: usize) -> Vec<usize> {
    let base = usize::from(first > 0);
    let mut layers: Vec<usize> = (0..count).map(|index| if index < first { 0 } else { base }).collect();
    // A graph without circles settles within as many rounds as it has boxes.
    for _ in 0..count {
        let mut settled = true;
        for link in links {
            if layers[link.to] <= layers[link.from] {
                layers[link.to] = layers[link.from] + 1;
                settled = false;
            }
        }
        if settled {
            break;
        }
    }
    layers
}

fn rows(nodes: &[Node]) -> Vec<Vec<usize>> {
    let count = nodes.iter().map(|node| node.layer + 1).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); count];
    for (index, node) in nodes.iter().enumerate() {
        rows[node.layer].push(index);
    }
    rows
}

/// For each node, the nodes before it and after it.
struct Neighbours {
    before: Vec<Vec<usize>>,
    after: Vec<Vec<usize>>,
}

impl Neighbours {
    fn new(count: usize, hops: &[Hop]) -> Self {
        let (mut before, mut after) = (vec![Vec::new(); count], vec![Vec::new(); count]);
        for hop in hops {
            before[hop.to].push(hop.from);
            after[hop.from].push(hop.to);
        }
        Self { before, after }
    }

    /// The layers in the order of a sweep, and what each looks at: what comes before it, or after it.
    fn sweep(&self, sweep: usize, layers: usize) -> (Vec<usize>, &[Vec<usize>]) {
        if sweep.is_multiple_of(2) {
            ((0..layers).collect(), &self.before)
        } else {
            ((0..layers).rev().collect(), &self.after)
        }
    }
}

/// Sorts each layer by the mean place of what its members are connected to, to and fro; keeps the best order seen.
fn order(rows: &mut Vec<Vec<usize>>, count: usize, hops: &[Hop], neighbours: &Neighbours) {
    let counted = |rows: &[Vec<usize>]| if hops.len() > COUNTED_MAX { 0 } else { crossings(rows, hops, count) };
    let mut best = (counted(rows), rows.clone());
    for sweep in 0..SWEEPS {
        let (sequence, near) = neighbours.sweep(sweep, rows.len());
        let mut position = positions(rows, count);
        for layer in sequence {
            let key = |node: &usize| {
                let near = &near[*node];
                if near.is_empty() { position[*node] } else { mean(near.iter().map(|near| position[*near])) }
            };
            rows[layer].sort_by(|a, b| key(a).total_cmp(&key(b)));
            place_row(&rows[layer], &mut position);
        }
        let now = counted(rows);
        if now < best.0 || hops.len() > COUNTED_MAX {
            best = (now, rows.clone());
        }
    }
    *rows = best.1;
}

/// The place of each node in its layer, from 0 to 1.
fn positions(rows: &[Vec<usize>], count: usize) -> Vec<f64> {
    let mut positions = vec![0.0; count];
    for row in rows {
        place_row(row, &mut positions);
    }
    positions
}

fn place_row(row: &[usize], positions: &mut [f64]) {
    for (index, node) in row.iter().enumerate() {
        positions[*node] = (number(index) + 0.5) / number(row.len());
    }
}

fn crossings(rows: &[Vec<usize>], hops: &[Hop], count: usize) -> usize {
    let positions = positions(rows, count);
    let mut layer = vec![0; count];
    for (index, row) in rows.iter().enumerate() {
        for node in row {
            layer[*node] = index;
        }
    }
    let mut crossings = 0;
    for (index, a) in hops.iter().enumerate() {
        for b in &hops[index + 1..] {
            let sides = (positions[a.from] - positions[b.from]) * (positions[a.to] - positions[b.to]);
            crossings += usize::from(layer[a.from] == layer[b.from] && sides < 0.0);
        }
    }
    crossings
}

/// Gives every node its height on the page: near what it is connected to, without overlaps.
fn heights(rows: &[Vec<usize>], nodes: &mut [Node], neighbours: &Neighbours) {
    for row in rows {
        let wanted = vec![0.0; row.len()];
        spread(row, nodes, &wanted);
    }
    for sweep in 0..SWEEPS {
        let (sequence, near) = neighbours.sweep(sweep, rows.len());
        for layer in sequence {
            let want = |node: &usize| {
                let near = &near[*node];
                if near.is_empty() { nodes[*node].center } else { mean(near.iter().map(|near| nodes[*near].center)) }
            };
            let wanted: Vec<f64> = rows[layer].iter().map(want).collect();
            spread(&rows[layer], nodes, &wanted);
        }
    }
}

/// The centres nearest to those wanted, in the given order and without overlaps: pool adjacent violators.
fn spread(row: &[usize], nodes: &mut [Node], wanted: &[f64]) {
    // With each one's distance to the first taken off, "no overlap" becomes "not falling".
    let mut offsets = Vec::with_capacity(row.len());
    let mut offset = 0.0;
    for (index, node) in row.iter().enumerate() {
        if index > 0 {
            offset += (nodes[row[index - 1]].height + nodes[*node].height) / 2.0 + ROW_GAP;
        }
        offsets.push(offset);
    }
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(&offsets) {
        let mut pool = (wanted - offset, 1);
        while let Some((mean, count)) = pools.last().copied().filter(|(mean, _)| *mean > pool.0) {
            pools.pop();
            pool = ((mean * number(count) + pool.0 * number(pool.1)) / number(count + pool.1), count + pool.1);
        }
        pools.push(pool);
    }
    let settled = pools.iter().flat_map(|(mean, count)| std::iter::repeat_n(*mean, *count));
    for ((node, offset), mean) in row.iter().zip(&offsets).zip(settled) {
        nodes[*node].center = mean + offset;
    }
}

/// Turns layers into columns, and lines into stretches between the sides of boxes.
fn columns(sizes: &[Size], links: &[Link], nodes: &[Node], rows: &[Vec<usize>], chains: &[Vec<usize>]) -> Layout {
    let columns: Vec<Column> = rows
        .iter()
        .enumerate()
        .scan(0.0, |x, (layer, row)| {
            let labels = links.iter().filter(|link| nodes[link.to].layer == layer).map(|link| link.label_width);
            let label = labels.fold(0.0, f64::max);
            let straight = if label > 0.0 { label + 20.0 } else { 8.0 };
            let start = if layer > 0 { *x + BEND + straight } else { *x };
            let width = row.iter().filter_map(|node| nodes[*node].of).map(|of| sizes[of].width).fold(0.0, f64::max);
            *x = start + width;
            Some(Column { start, end: start + width, straight })
        })
        .collect();
    let top = nodes.iter().map(|node| node.center - node.height / 2.0).fold(f64::INFINITY, f64::min);
    let bottom = nodes.iter().map(|node| node.center + node.height / 2.0).fold(f64::NEG_INFINITY, f64::max);
    let (top, bottom) = if nodes.is_empty() { (0.0, 0.0) } else { (top, bottom) };
    let mut boxes = vec![Place::default(); sizes.len()];
    for node in nodes {
        if let Some(of) = node.of {
            let (Column { start, end, .. }, height) = (&columns[node.layer], node.height);
            boxes[of] = Place { x: *start, y: node.center - height / 2.0 - top, width: end - start, height };
        }
    }
    let leave = ports(sizes.len(), chains, nodes, |chain| (chain[0], chain[1]));
    let arrive = ports(sizes.len(), chains, nodes, |chain| (chain[chain.len() - 1], chain[chain.len() - 2]));
    let routes = chains.iter().enumerate().map(|(index, chain)| {
        let (from, to) = (&nodes[chain[0]], &nodes[chain[chain.len() - 1]]);
        let leaves = columns[from.layer].end;
        let mut stretches = vec![(leaves, leaves, from.center + leave[index] - top)];
        // Every line bends in the same strip and is level beside the labels, so that none runs across them.
        for node in &chain[1..chain.len() - 1] {
            let column = &columns[nodes[*node].layer];
            stretches.push((column.start - column.straight, column.end, nodes[*node].center - top));
        }
        let column = &columns[to.layer];
        stretches.push((column.start - column.straight, column.start, to.center + arrive[index] - top));
        Route { stretches }
    });
    Layout {
        width: columns.last().map_or(0.0, |column| column.end),
        height: bottom - top,
        boxes,
        routes: routes.collect(),
    }
}

/// Where a layer stands, and how far before it its lines are level.
struct Column {
    start: f64,
    end: f64,
    straight: f64,
}

/// Where each line meets the side of its box, as a distance from the middle, in the order of what lies at the other end.
fn ports(boxes: usize, chains: &[Vec<usize>], nodes: &[Node], ends: impl Fn(&[usize]) -> (usize, usize)) -> Vec<f64> {
    let mut at: Vec<Vec<usize>> = vec![Vec::new(); boxes];
    for (index, chain) in chains.iter().enumerate() {
        at[ends(chain).0].push(index);
    }
    let mut ports = vec![0.0; chains.len()];
    for mut lines in at {
        lines.sort_by(|a, b| nodes[ends(&chains[*a]).1].center.total_cmp(&nodes[ends(&chains[*b]).1].center));
        let middle = (number(lines.len()) - 1.0) / 2.0;
        for (index, line) in lines.iter().enumerate() {
            ports[*line] = (number(index) - middle) * PORT_GAP;
        }
    }
    ports
}

fn mean(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0.0), |(sum, count), number| (sum + number, count + 1.0));
    sum / count
}

/// A count as a coordinate; no picture has so many parts that this is not exact.
fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
