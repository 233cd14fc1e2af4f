//! What happens in a history, drawn from its seed alone.

use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};

/// Draws the same from the same seed, on every machine.
pub struct Dice(Xoshiro256PlusPlus);

impl Dice {
    /// Begins anew.
    pub fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A number below this one.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    /// Yes, so many times in a hundred.
    pub fn percent(&mut self, often: u64) -> bool {
        self.below(100) < often
    }

    /// One of these.
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.0.random_range(0..of.len())]
    }

    /// These in any order.
    pub fn shuffled<T>(&mut self, mut of: Vec<T>) -> Vec<T> {
        for end in (1..of.len()).rev() {
            of.swap(end, self.0.random_range(0..=end));
        }
        of
    }

    /// Some of these, at least one, in their order.
    pub fn some<T: Clone>(&mut self, of: &[T]) -> Vec<T> {
        let sure = self.0.random_range(0..of.len());
        let drawn = of.iter().enumerate();
        drawn
            .filter(|(number, _)| *number == sure || self.0.random_range(0..100) < 40)
            .map(|(_, one)| one.clone())
            .collect()
    }
}
