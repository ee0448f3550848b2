//! Calls that are recorded and played: any value of any type crosses, and is what it was when the callee, or another build of it, is called
//! with the very frame alone.

use proptest::prelude::*;
use wasmtime::component::Val;
use watertight_model::app::EdgeId;
use watertight_runtime::{PlayError, RecordedCall, RecordedFrame, TapFilter};
use wit_component::StringEncoding;

use crate::{
    any_type::{app, run},
    bare::Harness,
    oracle::{any_encoding, any_type, any_value},
};

impl Harness {
    /// What this call has cross.
    async fn recorded(&self, function: &str, arguments: Vec<Val>) -> Vec<RecordedCall> {
        let filter = || TapFilter { functions: Some(self.functions()), ..TapFilter::default() };
        self.app.record_calls(1, usize::MAX, filter).expect("nobody else records");
        self.call("caller", function, arguments).await.expect("it answers");
        let recorded = self.app.record_calls(1, usize::MAX, filter).expect("nobody else records");
        assert_eq!(recorded.dropped, 0);
        recorded.calls
    }

    fn functions(&self) -> Vec<(EdgeId, watertight_model::app::FunctionId)> {
        let edges = self.app.app().edges.iter();
        let all = edges.flat_map(|edge| (0_u32..).zip(&edge.functions).map(|(place, _)| (edge.id, place)));
        all.map(|(edge, place)| (edge, watertight_model::app::FunctionId(place))).collect()
    }
}

fn bytes(frame: &RecordedFrame) -> &[u8] {
    match frame {
        RecordedFrame::Bytes(bytes) => bytes,
        other @ (RecordedFrame::Handles | RecordedFrame::TooLarge(_) | RecordedFrame::None) => {
            panic!("it was recorded: {other:?}")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_any_type_is_played_as_it_was_recorded(
        (ty, values) in any_type().prop_flat_map(|ty| {
            let values = prop::collection::vec(any_value(&ty), 0..4);
            (Just(ty), values)
        }),
        (callers, callees) in (any_encoding(), any_encoding()),
    ) {
        let (recorder, other) = (app(&ty, callers, StringEncoding::UTF8), app(&ty, StringEncoding::UTF8, callees));
        run(async {
            let calls = recorder.recorded("t:t/i#echo", vec![Val::List(values)]).await;
            let [call] = &calls[..] else { panic!("it is one call: {calls:?}") };
            let callee = other.app.app().find("callee").expect("it is there").id;
            let part = other.app.part(callee, "t:t/i", "echo").expect("it is there");
            // The types are written out the same by who records and by who plays.
            assert_eq!(recorder.app.described(call.call.edge, call.call.function), Some(part.described()));
            let (arguments, results) = (bytes(&call.arguments), bytes(&call.results));
            let played = other.app.play(&part, arguments).await.expect("it answers");
            assert!(part.same_results(results, &played));
            // It gives back what it gets.
            assert_eq!(part.arguments_text(arguments, usize::MAX), format!("({})", part.results_text(&played, usize::MAX)));
        });
    }

    #[test]
    fn any_bytes_are_played_or_refused(
        ty in any_type(),
        frame in prop::collection::vec(prop_oneof![Just(0_u8), 0..24_u8, any::<u8>()], 0..96),
    ) {
        let app = app(&ty, StringEncoding::UTF8, StringEncoding::UTF8);
        run(async {
            let callee = app.app.app().find("callee").expect("it is there").id;
            let part = app.app.part(callee, "t:t/i", "echo").expect("it is there");
            // Two words for a list; what they name must be all the rest.
            let with_head = [&8_u32.to_le_bytes()[..], &1_u32.to_le_bytes(), &frame].concat();
            for frame in [frame, with_head] {
                match app.app.play(&part, &frame).await {
                    Ok(played) => assert!(part.same_results(&frame, &played)),
                    Err(PlayError::Arguments(_)) => {}
                    Err(PlayError::Call(error)) => panic!("a frame that was let in is good: {error}"),
                }
                // Whatever they are, there is a text.
                let _ = part.arguments_text(&frame, 256);
            }
        });
    }
}
