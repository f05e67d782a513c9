//! The pages and boxes of the marketplace, how often each is seen, and how often a box is clicked.

use std::num::NonZeroU32;

/// Everything that is drawn from.
#[derive(Debug)]
pub(super) struct World {
    pages: Vec<String>,
    boxes: Vec<String>,
    page: Popularity,
    slot: Popularity,
    /// By box: a random 32-bit number below it means a click.
    clicks: Vec<u32>,
}

/// Draws ranks after Zipf's law (the n-th is seen 1/n as often as the first), by Walker's alias method (1974).
#[derive(Debug)]
struct Popularity {
    /// For each rank: the threshold below which it is chosen itself, and the rank that is chosen otherwise.
    ranks: Vec<(u32, u32)>,
}

const CATEGORIES: [&str; 16] = [
    "bikes", "phones", "sofas", "cars", "lamps", "books", "toys", "guitars", "cameras", "garden", "shoes",
    "watches", "tools", "records", "tents", "pets",
];

/// The first boxes have names; the others are numbered.
const BOXES: [&str; 8] = [
    "top-picks",
    "similar-items",
    "last-seen",
    "nearby",
    "sponsored",
    "new-today",
    "price-drops",
    "seller-shop",
];

/// Click-through rates of the boxes in turn, in one thousandth.
const RATES: [u32; 10] = [62, 118, 35, 21, 9, 48, 27, 80, 14, 5];

impl World {
    pub(super) fn new(pages: NonZeroU32, boxes: NonZeroU32) -> Self {
        Self {
            pages: (0..pages.get()).map(page_name).collect(),
            boxes: (0..boxes.get()).map(box_name).collect(),
            page: Popularity::new(pages),
            slot: Popularity::new(boxes),
            clicks: (0..boxes.get() as usize).map(|n| u32::MAX / 1000 * RATES[n % RATES.len()]).collect(),
        }
    }

    pub(super) fn draw_page(&self, random: u64) -> u32 {
        self.page.draw(random)
    }

    pub(super) fn draw_box(&self, random: u64) -> u32 {
        self.slot.draw(random)
    }

    pub(super) fn page(&self, index: u32) -> &str {
        &self.pages[index as usize]
    }

    pub(super) fn box_name(&self, index: u32) -> &str {
        &self.boxes[index as usize]
    }

    /// The click threshold of a view of this box.
    pub(super) fn clicks(&self, slot: u32) -> u32 {
        self.clicks[slot as usize]
    }
}

impl Popularity {
    fn new(count: NonZeroU32) -> Self {
        let count = count.get() as usize;
        let total: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
        // Each rank's weight where the mean is 1: the heavy ones fill up what the light ones leave.
        let mut weights: Vec<f64> = (1..=count).map(|rank| count as f64 / (rank as f64 * total)).collect();
        let mut ranks: Vec<(u32, u32)> = (0..count as u32).map(|rank| (u32::MAX, rank)).collect();
        let (mut light, mut heavy): (Vec<usize>, Vec<usize>) =
            (0..count).partition(|&rank| weights[rank] < 1.0);
        while let (Some(small), Some(&large)) = (light.pop(), heavy.last()) {
            ranks[small] = ((weights[small] * f64::from(u32::MAX)) as u32, large as u32);
            weights[large] -= 1.0 - weights[small];
            if weights[large] < 1.0 {
                heavy.pop();
                light.push(large);
            }
        }
        Self { ranks }
    }

    fn draw(&self, random: u64) -> u32 {
        let rank = below(self.ranks.len() as u64, random);
        let (threshold, alias) = self.ranks[rank as usize];
        if (random as u32) < threshold { rank as u32 } else { alias }
    }
}

/// A number below `bound` from the upper half of a random one.
pub(super) fn below(bound: u64, random: u64) -> u64 {
    ((random >> 32) * bound) >> 32
}

fn page_name(index: u32) -> String {
    let category = CATEGORIES[index as usize % CATEGORIES.len()];
    match index / CATEGORIES.len() as u32 {
        0 => format!("/category/{category}"),
        n => format!("/category/{category}/{n}"),
    }
}

fn box_name(index: u32) -> String {
    BOXES.get(index as usize).map_or_else(|| format!("box-{}", index + 1), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popularity_follows_zipf() {
        let popularity = Popularity::new(NonZeroU32::new(5).expect("not 0"));
        let mut seen = [0u32; 5];
        // Evenly spread numbers in place of random ones; the low half runs through its range within each rank.
        for n in 0..1_000_000u64 {
            seen[popularity.draw(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) as usize] += 1;
        }
        let harmonic = 1.0 + 0.5 + 1.0 / 3.0 + 0.25 + 0.2;
        for (rank, count) in seen.into_iter().enumerate() {
            let expected = 1_000_000.0 / harmonic / (rank + 1) as f64;
            assert!(
                (f64::from(count) - expected).abs() < expected * 0.02,
                "rank {rank}: {count}, not {expected}"
            );
        }
    }

    #[test]
    fn names_are_distinct_and_need_no_escape() {
        let world = World::new(NonZeroU32::new(100).expect("not 0"), NonZeroU32::new(30).expect("not 0"));
        for names in [&world.pages, &world.boxes] {
            let distinct: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!(distinct.len(), names.len());
            assert!(
                names
                    .iter()
                    .all(|name| name.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\'))
            );
        }
    }
}
