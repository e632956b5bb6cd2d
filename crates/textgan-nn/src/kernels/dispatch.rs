#![allow(unsafe_code)] // Calling a function compiled for an instruction set that was just detected.

use std::sync::atomic::{AtomicU8, Ordering};

/// The instruction sets that kernels are compiled for.
///
/// A kernel is written once, as a plain loop; it is compiled for each of these, and one is picked
/// when the program runs. Sums have a constant order, so AVX2 and AVX-512 give the same bits. The
/// portable matrix products do not fuse multiplication and addition, which without an instruction
/// for it would be a slow call for each: their bits differ. So do those of AMX in
/// [`Precision::Bf16`](super::Precision::Bf16), whose instruction adds in another order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstructionSet {
    /// What the build's target guarantees.
    Portable = 1,
    /// AVX2 with fused multiply-add.
    Avx2 = 2,
    /// AVX-512 (F, BW, DQ, VL).
    Avx512 = 3,
    /// AVX-512 with products of bf16.
    Avx512Bf16 = 4,
    /// The same, and Intel's AMX, which multiplies tiles of bf16.
    Amx = 5,
}

/// Zero until first asked for.
static SELECTED: AtomicU8 = AtomicU8::new(0);

impl InstructionSet {
    /// All of them, the plainest first.
    pub const ALL: [Self; 5] =
        [Self::Portable, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// The best that this processor has.
    pub fn detected() -> Self {
        Self::Amx.usable()
    }

    /// This one, or the best that there is if the processor lacks it.
    fn usable(self) -> Self {
        match self.min(Self::without_tiles()) {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 if self == Self::Amx && super::tiles::available() => Self::Amx,
            plainer => plainer,
        }
    }

    /// The best that this processor has, but for AMX, which asks the system first.
    fn without_tiles() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") {
                if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                    return if has!("avx512bf16") { Self::Avx512Bf16 } else { Self::Avx512 };
                }
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// The one in use: the detected one, unless [`InstructionSet::select`] or the environment
    /// variable `TEXTGAN_INSTRUCTION_SET` (`portable`, `avx2`, `avx512`, `avx512-bf16` or
    /// `amx`) asks for a plainer one.
    #[inline]
    pub fn current() -> Self {
        match SELECTED.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            4 => Self::Avx512Bf16,
            5 => Self::Amx,
            _ => Self::first_time(),
        }
    }

    /// Uses this one in the whole process from now on, or the best that there is if the processor
    /// lacks it. Returns the one in use. For tests and benchmarks.
    pub fn select(self) -> Self {
        let usable = self.usable();
        SELECTED.store(usable as u8, Ordering::Relaxed);
        usable
    }

    /// A short name, as in the environment variable.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }

    #[cold]
    fn first_time() -> Self {
        let wanted = std::env::var("TEXTGAN_INSTRUCTION_SET").unwrap_or_default();
        let wanted = Self::ALL.into_iter().find(|set| set.name() == wanted);
        wanted.unwrap_or(Self::Amx).select()
    }
}

/// Compiles functions once for each [`InstructionSet`] and chooses when they are called.
///
/// The body must be plain code over its arguments; what it calls is compiled for the instruction
/// set too if it is `#[inline(always)]`.
macro_rules! simd {
    ($(
        $(#[$meta:meta])*
        $vis:vis fn $name:ident($($arg:ident : $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block
    )*) => {$(
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body($($arg: $ty),*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body($($arg),*) }

            #[cfg(target_arch = "x86_64")]
            match $crate::kernels::InstructionSet::current() {
                $crate::kernels::InstructionSet::Avx512
                | $crate::kernels::InstructionSet::Avx512Bf16
                | $crate::kernels::InstructionSet::Amx => {
                    // SAFETY: `current` is never better than what the processor was found to have.
                    #[allow(unsafe_code)]
                    return unsafe { avx512($($arg),*) };
                }
                // SAFETY: as above.
                #[allow(unsafe_code)]
                $crate::kernels::InstructionSet::Avx2 => return unsafe { avx2($($arg),*) },
                $crate::kernels::InstructionSet::Portable => {}
            }
            body($($arg),*)
        }
    )*};
}
pub(crate) use simd;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_better_than_the_processor() {
        assert!(InstructionSet::Amx.select() <= InstructionSet::detected());
        assert_eq!(InstructionSet::current(), InstructionSet::detected());
    }
}
