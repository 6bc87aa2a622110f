//! What every store must do, as tests that any store can be put under.
//!
//! A store's own tests call [`suite!`] with a function that makes an empty store; what the function
//! answers lives as long as the test and dereferences to a [`Store`](super::Store).

pub(super) mod append;
pub(super) mod attempts;
pub(crate) mod check;
pub(super) mod checkpoints;
pub(crate) mod erase;
pub(crate) mod holds;
pub(super) mod list;
pub(super) mod others;
pub(crate) mod purge;
pub(super) mod read;
pub(super) mod removal;
pub(super) mod reviews;
mod sameness;
pub(crate) mod sample;
pub(crate) mod statistics;
pub(super) mod strays;
pub(crate) mod tampered;
pub(super) mod tracking;
pub(super) mod windows;

/// A store with what its owner does to it from time to time.
pub(crate) trait Maintained: std::ops::Deref<Target = dyn super::Store> {
    /// Removes the rows of what was purged.
    async fn remove_purged(&self) -> super::Removed;
    /// How many whole months it can remove at once, of so many.
    fn months(&self, of: u32) -> u32;
    /// How many rows there are in the tables of executions, revisions and source objects.
    async fn rows(&self) -> u64;
    /// Creates the successor of a log.
    async fn begin_successor(&self, log: &str, successor: &str);
    /// Closes a log in favour of its successor.
    async fn close_succeeded(&self, log: &str, successor: &str);
}

/// Makes a test of every function of the suite.
macro_rules! suite {
    ($open:path) => {
        $crate::store::conformance::suite! { $open;
            append: a_record_gets_a_receipt_and_comes_back_field_for_field,
            append: a_batch_is_answered_in_its_order_and_its_entries_are_dense,
            append: recorded_at_never_runs_backwards,
            append: what_is_sent_again_answers_with_its_first_receipt,
            append: a_record_twice_in_one_batch_is_stored_once,
            append: another_content_from_a_producer_is_refused_and_stops_nothing_else,
            append: an_amendment_keeps_the_old_revision_and_its_created_at,
            append: a_record_that_differs_in_created_at_only_is_a_duplicate,
            append: a_difference_that_is_redacted_here_is_a_difference,
            append: an_amendment_of_another_revision_than_the_latest_is_stale,
            append: logs_share_nothing,
            append: a_log_that_was_never_opened_takes_nothing,
            append: the_tree_is_right_across_its_tiles,
            append: concurrent_appenders_lose_and_repeat_nothing,
            append: an_empty_batch_changes_nothing,
            attempts: a_resource_is_amended_when_it_changes_and_numbered_when_it_starts_again,
            attempts: a_resource_that_returns_to_an_earlier_content_is_a_new_revision,
            attempts: two_attempts_in_one_batch_are_numbered_in_its_order,
            attempts: an_attempt_overtaken_unrecorded_leaves_a_gap_before_its_successor,
            attempts: an_attempt_that_is_noted_along_with_its_successor_leaves_a_gap_with_its_last_state,
            attempts: an_older_attempt_that_arrives_late_overtakes_nothing,
            attempts: an_execution_that_merely_starts_leaves_no_gap,
            attempts: a_running_attempt_overtaken_by_another_leaves_a_gap,
            attempts: a_start_that_is_cleared_for_a_while_overtakes_nothing_and_is_not_forgotten,
            others: a_gap_is_recorded_once,
            others: a_gap_of_what_is_accounted_for_is_none,
            others: what_went_on_after_its_quarantine_is_a_gap_when_it_is_gone,
            others: a_quarantined_object_is_kept_once_for_each_content,
            others: a_hold_is_placed_once_for_each_reason,
            others: a_digest_of_days_is_there_once,
            others: the_object_that_an_entry_keeps_is_given_whole,
            others: what_was_in_quarantine_is_recorded_where_nothing_newer_is,
            checkpoints: the_newest_checkpoint_is_kept,
            checkpoints: a_log_that_does_not_extend_what_it_had_takes_nothing,
            checkpoints: a_heartbeat_is_there_once_and_only_where_nothing_else_is,
            holds: a_hold_covers_what_it_selects_recorded_or_still_to_come,
            holds: a_hold_is_released_once_and_can_be_placed_again,
            holds: a_release_of_no_hold_is_refused,
            holds: entries_are_listed_by_kind,
            purge: what_is_weighed_is_all_that_was_complete_before_an_instant,
            purge: what_was_purged_is_gone_to_readers_and_stays_known,
            purge: a_part_takes_all_that_was_weighed_or_nothing,
            purge: a_purge_and_a_hold_at_once_never_both_win,
            erase: what_is_personal_of_an_execution_goes_and_the_rest_stays,
            erase: what_was_erased_does_not_come_back,
            erase: what_somebody_needs_is_not_erased,
            erase: an_execution_with_very_much_is_erased_in_parts,
            others: an_export_or_an_access_is_told_once,
            reviews: a_verdict_is_recorded_once_while_it_is_the_newest,
            reviews: a_verdict_that_stands_is_recorded_once_whatever_is_said_since,
            reviews: only_what_is_recorded_is_reviewed,
            reviews: statistics_count_the_newest_verdict_on_the_last_attempt,
            reviews: an_erasure_takes_the_note_and_leaves_the_verdict,
            reviews: lists_go_by_the_newest_verdict_on_each_attempt,
            reviews: verdicts_that_disagree_are_found_newest_first,
            windows: a_window_only_ever_becomes_longer,
            windows: what_is_known_of_an_attempt_says_how_long_it_stays,
            windows: an_erasure_takes_the_reason_and_leaves_the_end,
            tracking: what_is_tracked_is_listed_in_pages_and_forgotten_when_it_is_gone,
            tracking: what_is_seen_by_name_only_keeps_the_state_seen_before,
            tracking: what_runs_is_in_flight_and_found_by_what_it_is,
            tracking: what_ends_is_accounted_for_or_gone_is_not_in_flight,
            tracking: what_is_recorded_again_is_not_in_flight_and_what_runs_again_is,
            tracking: an_attempt_runs_since_it_began,
            read: what_is_known_is_said_for_each_id_in_order,
            read: a_record_reads_back_intact,
            read: everything_of_an_id_is_found_in_every_log,
            read: entries_are_found_by_the_names_of_their_revisions,
            read: the_latest_revisions_are_given_and_all_are_counted,
            read: text_of_every_script_and_times_at_the_edges_survive,
            read: large_records_and_objects_survive,
            read: a_log_belongs_to_its_first_owner,
            list: pages_join_to_the_whole_list_whatever_the_filter,
            list: a_page_of_large_rows_ends_early_and_says_so,
            list: pages_miss_and_repeat_nothing_while_others_insert,
            statistics: what_is_over_is_counted_in_longer_buckets,
            statistics: what_is_amended_is_counted_on_its_day_alone,
            statistics: the_documented_questions_are_answered_in_sql,
            strays: whatever_was_appended_is_vouched_for_and_looked_at_once,
            strays: what_is_appended_meanwhile_is_no_stray,
            ; maintained:
            removal: what_was_purged_is_removed_and_nothing_else,
            erase: what_is_left_can_be_held_and_purged,
            list: only_the_last_attempt_counts_whatever_became_of_it,
            removal: months_of_which_everything_was_purged_are_removed_at_once,
            tracking: what_is_in_flight_goes_on_with_the_successor_of_its_log,
            checkpoints: a_log_goes_on_in_the_place_of_one_that_was_rolled_back,
        }
    };
    ($open:path; $($module:ident: $name:ident,)+; maintained: $($of:ident: $maintained:ident,)+) => {
        $(
            #[tokio::test]
            async fn $maintained() {
                $crate::store::conformance::$of::$maintained(&$open()).await;
            }
        )+
        $crate::store::conformance::suite! { $open; $($module: $name,)+ }
    };
    ($open:path; $($module:ident: $name:ident,)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                let store = $open();
                $crate::store::conformance::$module::$name(&*store).await;
            }
        )+
    };
}

pub(super) use suite;
