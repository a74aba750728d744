//! Stands between every answer and whoever reads it: bounds what is held in memory, and looks at the store's clock.
//!
//! # Design
//! The client signs by the store's own time, which it learns from the `Date` of each answer: a machine whose clock is
//! wrong loses the one request that is refused for it (`RequestTimeTooSkewed`, tried again like any other), and not the
//! next. What remains to be done here is the alarm, for everything else on such a machine goes by its clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::primitives::{DateTime, DateTimeFormat, SdkBody};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use http_body_util::Limited;

/// A page of a thousand longest keys has 3 MiB; every other answer that is read whole is smaller.
const LONGEST_ANSWER: usize = 8 << 20;

/// Stores refuse requests that are a quarter of an hour off. This is said long before that.
const SKEW: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub(super) struct Guard {
    skewed: AtomicBool,
}

/// An object was asked for. It is read piece by piece by whoever did, who knows how long it may be.
#[derive(Debug)]
struct Object(bool);

impl Storable for Object {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Guard {
    fn name(&self) -> &'static str {
        "Guard"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        notes: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        notes.interceptor_state().store_put(Object(context.request().uri().contains("x-id=GetObject")));
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        notes: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let object = notes.load::<Object>().is_some_and(|Object(object)| *object);
        if !(object && context.response().status().is_success()) {
            let body = std::mem::replace(context.response_mut().body_mut(), SdkBody::taken());
            *context.response_mut().body_mut() = SdkBody::from_body_1_x(Limited::new(body, LONGEST_ANSWER));
        }
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(theirs) = date.and_then(|date| SystemTime::try_from(date).ok()) {
            self.compare(theirs, SystemTime::now());
        }
        Ok(())
    }
}

impl Guard {
    /// Says it once when the two clocks part, and once when they meet again: what it said, true for apart.
    fn compare(&self, theirs: SystemTime, ours: SystemTime) -> Option<bool> {
        let apart = theirs.duration_since(ours).unwrap_or_else(|behind| behind.duration());
        let skewed = apart > SKEW;
        if self.skewed.swap(skewed, Ordering::Relaxed) == skewed {
            return None;
        }
        let seconds = apart.as_secs();
        if skewed {
            tracing::error!(
                seconds,
                "the store's clock and ours differ; requests are signed by the store's, but set the wrong one right (NTP)"
            );
        } else {
            tracing::info!("the store's clock and ours agree again");
        }
        Some(skewed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_wrong_either_way_is_told_once() {
        let guard = Guard::default();
        let ours = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_372_178);
        let hour = Duration::from_secs(3600);
        let told = [ours + hour, ours - hour, ours, ours + SKEW].map(|theirs| guard.compare(theirs, ours));
        assert_eq!(told, [Some(true), None, Some(false), None]);
    }
}
