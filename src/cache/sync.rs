//! The primitives the protocol between readers and the writer stands on, so that the model checker can put its
//! own in their place.

pub(super) use imp::{AtomicU64, Lock};

#[cfg(not(feature = "shuttle"))]
mod imp {
    pub(in crate::cache) use std::sync::atomic::AtomicU64;

    /// Many readers or one writer.
    pub(in crate::cache) struct Lock<T>(parking_lot::RwLock<T>);

    impl<T> Lock<T> {
        pub(in crate::cache) fn new(value: T) -> Self {
            Self(parking_lot::RwLock::new(value))
        }

        pub(in crate::cache) fn read(&self) -> impl std::ops::Deref<Target = T> {
            self.0.read()
        }

        pub(in crate::cache) fn write(&self) -> impl std::ops::DerefMut<Target = T> {
            self.0.write()
        }
    }
}

#[cfg(feature = "shuttle")]
mod imp {
    pub(in crate::cache) use shuttle::sync::atomic::AtomicU64;

    /// Many readers or one writer.
    pub(in crate::cache) struct Lock<T>(shuttle::sync::RwLock<T>);

    impl<T> Lock<T> {
        pub(in crate::cache) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(in crate::cache) fn read(&self) -> impl std::ops::Deref<Target = T> {
            self.0.read().expect("no schedule panics under the lock")
        }

        pub(in crate::cache) fn write(&self) -> impl std::ops::DerefMut<Target = T> {
            self.0.write().expect("no schedule panics under the lock")
        }
    }
}
