//! A small set of scenarios, stages, symbols or phases.
//!
//! *Problem.* The automaton is made while the crate is compiled, and a reading is to be `Copy`.
//!
//! *Approach.* A bit for each value, in a word. A `HashSet` is neither const nor `Copy`, and has no order;
//! a crate for bit sets would be in our public signatures. A value beyond the 32nd must not compile, see
//! the end of `automaton`.

use std::fmt;
use std::marker::PhantomData;

/// A set of the few values that `T` has, in their order: one word, `Copy`, no allocation.
///
/// ```
/// use lab_connector::flow::{History, Scenario};
///
/// let candidates = History::complete(["Lab Review", "iTero Milling"]).read().candidates();
/// assert!(candidates.contains(Scenario::Milling));
/// assert_eq!(candidates.len(), 2);
/// assert_eq!(candidates.to_string(), "milling, after_interpretation_2");
/// ```
pub struct Set<T> {
    // 32 bits are enough for the 24 phases, the largest of the enumerations.
    bits: u32,
    // Only a type: the set holds no values.
    of: PhantomData<T>,
}

/// What can be in a [`Set`]: the crate's own enumerations, and nothing that others write, so it is not
/// exported.
#[allow(unnameable_types, reason = "a bound that nobody has to write")]
pub trait Member: Copy + fmt::Debug + fmt::Display + 'static {
    const ALL: &'static [Self];

    /// Its bit in a set, from 0.
    fn index(self) -> u8;
}

impl<T> Set<T> {
    /// The set without members.
    pub const EMPTY: Self = Self::from_bits(0);

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Set {
            bits,
            of: PhantomData,
        }
    }

    pub(crate) const fn bits(self) -> u32 {
        self.bits
    }

    /// Both sets' members.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self::from_bits(self.bits | other.bits)
    }

    /// How many members it has.
    #[must_use]
    pub const fn len(self) -> usize {
        self.bits.count_ones() as usize
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bits == 0
    }
}

impl<T: Member> Set<T> {
    /// Whether `member` is in it.
    #[must_use]
    pub fn contains(self, member: T) -> bool {
        self.bits & (1 << member.index()) != 0
    }

    /// The members, in their order.
    pub fn iter(self) -> impl Iterator<Item = T> + Clone + use<T> {
        // Over the values and not over the bits: a bit without a value would be none of them.
        T::ALL.iter().copied().filter(move |m| self.contains(*m))
    }

    /// The one member, if there is exactly one.
    #[must_use]
    pub fn only(self) -> Option<T> {
        if self.len() == 1 {
            self.iter().next()
        } else {
            None
        }
    }
}

impl<T: Member> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        let bits = members.into_iter().fold(0, |bits, m| bits | 1 << m.index());
        Self::from_bits(bits)
    }
}

impl<T: Member, const N: usize> From<[T; N]> for Set<T> {
    fn from(members: [T; N]) -> Self {
        members.into_iter().collect()
    }
}

// By hand: `derive` would ask for the same of `T`, of which no value is held.
impl<T> Clone for Set<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Set<T> {}

impl<T> PartialEq for Set<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T> Eq for Set<T> {}

impl<T> std::hash::Hash for Set<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T: Member> fmt::Debug for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The members with `, ` between them; nothing for an empty set.
impl<T: Member> fmt::Display for Set<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, member) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(&member, f)?;
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
impl<T: Member + serde::Serialize> serde::Serialize for Set<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Makes an enumeration a member of sets and adds its machine names, from one list.
macro_rules! member {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// Every value, in its order.
            pub const ALL: [$type; member!(@count $($variant)*)] = [$($type::$variant),*];

            /// The name that the crate prints and stores.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($type::$variant => $name),* }
            }

            /// The value with this name; names are exact.
            #[must_use]
            pub fn from_name(name: &str) -> Option<$type> {
                match name { $($name => Some($type::$variant),)* _ => None }
            }
        }

        impl $crate::flow::set::Member for $type {
            const ALL: &'static [$type] = &$type::ALL;

            fn index(self) -> u8 {
                self as u8
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // Not `&str`, which cannot be read from a reader or from text with escapes.
                let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                $type::from_name(&name)
                    .ok_or_else(|| serde::de::Error::unknown_variant(&name, &[$($name),*]))
            }
        }
    };
    (@count) => { 0 };
    (@count $head:ident $($tail:ident)*) => { 1 + member!(@count $($tail)*) };
}
pub(crate) use member;

impl Member for crate::status::Symbol {
    const ALL: &'static [Self] = &crate::status::Symbol::ALL;

    fn index(self) -> u8 {
        self as u8
    }
}
