//! Pointers of C's as references and slices, and back.

use pelton::{Error, Result};

fn null(name: &str) -> Error {
    Error::invalid(name, "the pointer is null", "pass a live one")
}

/// What a handle, or a pointer to a struct to read, stands for.
///
/// # Safety
/// The pointer is null, or live and of this type for as long as the call runs.
pub(crate) unsafe fn shared<'a, T>(pointer: *const T, name: &str) -> Result<&'a T> {
    // SAFETY: the caller vouches for a pointer that is not null.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// As `shared`, for elements that lie one behind the other.
///
/// # Safety
/// The pointer is null, or valid for `count` elements for as long as the call runs.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, count: usize, name: &str) -> Result<&'a [T]> {
    check_size::<T>(count, name)?;
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller vouches for a pointer that is not null; the size was checked.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// As `slice`, to write.
///
/// # Safety
/// As `slice`, and nobody else uses the elements.
pub(crate) unsafe fn slice_mut<'a, T>(
    pointer: *mut T,
    count: usize,
    name: &str,
) -> Result<&'a mut [T]> {
    check_size::<T>(count, name)?;
    if count == 0 {
        return Ok(&mut []);
    }
    if pointer.is_null() {
        return Err(null(name));
    }
    // SAFETY: the caller vouches for a pointer that is not null; the size was checked.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, count) })
}

fn check_size<T>(count: usize, name: &str) -> Result<()> {
    let bytes = count.checked_mul(size_of::<T>());
    if bytes.is_some_and(|bytes| isize::try_from(bytes).is_ok()) {
        return Ok(());
    }
    let cause = format!("{count} elements are more than memory has");
    Err(Error::invalid(name, cause, "pass their number"))
}

/// Where a call puts a plain result; zeroed at once.
///
/// # Safety
/// The pointer is null, or valid to write for as long as the call runs.
pub(crate) unsafe fn out<'a, T: Default>(pointer: *mut T, name: &str) -> Result<&'a mut T> {
    // SAFETY: the caller vouches for a pointer that is not null.
    let place = unsafe { pointer.as_mut() }.ok_or_else(|| null(name))?;
    *place = T::default();
    Ok(place)
}

/// Where a call puts a handle.
pub(crate) struct OutHandle<'a, T>(&'a mut *mut T);

impl<T> OutHandle<'_, T> {
    /// The place that `pointer` names; null from now on.
    ///
    /// # Safety
    /// The pointer is null, or valid to write for as long as the call runs.
    pub(crate) unsafe fn new(pointer: *mut *mut T) -> Result<Self> {
        // SAFETY: the caller vouches for a pointer that is not null.
        let place = unsafe { pointer.as_mut() }.ok_or_else(|| null("out"))?;
        *place = std::ptr::null_mut();
        Ok(OutHandle(place))
    }

    /// Hands the value over to C.
    pub(crate) fn give(self, value: T) {
        *self.0 = Box::into_raw(Box::new(value));
    }
}

/// Ends what a handle stands for.
///
/// # Safety
/// The pointer is null, or came from `OutHandle::give` and was not ended before.
pub(crate) unsafe fn end<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller vouches that it is the one that `give` made a box of.
        drop(unsafe { Box::from_raw(pointer) });
    }
}
