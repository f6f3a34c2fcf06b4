//! Stores that make a mistake each, and the rule that the check says is broken.

mod store;

use std::future::ready;
use std::sync::Arc;

use lab_connector::inbox::store::check_case_store;

use store::Wrong;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
    None,
    OneAccount,
    IgnoresVersions,
    KeepsHalf,
    CommitsInTwoSteps,
    LosesTheCoverage,
    LosesAnArrival,
    LogsBackwards,
    IgnoresCase,
    CutsAtNul,
    ExpectsTwice,
    ExpectsAll,
    DueAnyTime,
    DueInAnyOrder,
    CutsSeconds,
    PagesFromTheStart,
    LimitOfOneAtLeast,
    CountsAcknowledged,
    ForgetsNothing,
    ForgetsToTheMinute,
    LetsAllPoll,
    LetsOnePollForEver,
    ReleasesAnothersRight,
    ReleasesNothing,
    RevisesWithEachCommit,
    RevisesNothing,
    RevisesEachCase,
    ForgetsAllAtOnce,
    HandsOutTheLatestFirst,
    HandsOutTwoOfACase,
    ClaimsForEver,
    ClaimsInTwoSteps,
    CountsNoAttempts,
    LosesTheFailure,
    ClearsTheFailure,
    AcceptsStaleTokens,
    TellsStaleTokensYes,
    KeepsTokensGivenBack,
    SettlesInAnyOrder,
    DropsHeld,
    ComesAgainAfterAcknowledge,
    LiesAfterADrop,
    KeepsHalfWhenDropped,
    DueByTheCommittersClock,
    LeasesGoOnWhenTheClockIsSetBack,
    ReopensNothing,
    ReopensWhatNeverWas,
    FindsTwice,
}

async fn check(
    mistake: Mistake,
) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let store = Arc::new(Wrong::new(mistake));
    check_case_store(|| ready(Ok(Arc::clone(&store)))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_check_finds_each_mistake() {
    use Mistake as M;
    check(M::None).await.unwrap();
    let mut wrong = Vec::new();
    for (mistake, rule) in [
        (M::OneAccount, "accounts have nothing in common"),
        (M::IgnoresVersions, "a new case fails if it is known"),
        (M::KeepsHalf, "a commit that fails changes nothing"),
        (
            M::CommitsInTwoSteps,
            "of many commits over the same version one",
        ),
        (M::LosesTheCoverage, "a coverage stays"),
        (M::LosesAnArrival, "numbered from 1, one by one"),
        (M::LogsBackwards, "an arrival's index, and the ordinal"),
        (M::IgnoresCase, "an id is kept as it is"),
        (M::CutsAtNul, "an id is kept as it is"),
        (M::ExpectsTwice, "wherever it is read"),
        (M::ExpectsAll, "each once"),
        (M::DueAnyTime, "the longest due first"),
        (M::DueInAnyOrder, "the longest due first"),
        (M::CutsSeconds, "to the millisecond"),
        (M::PagesFromTheStart, "begins behind the number"),
        (M::LimitOfOneAtLeast, "a limit of 0 returns nothing"),
        (M::CountsAcknowledged, "acknowledged ones are not"),
        (M::ForgetsNothing, "forgotten are cases"),
        (M::ForgetsToTheMinute, "forgotten are cases"),
        (M::LetsAllPoll, "keeps other processes out"),
        (
            M::LetsOnePollForEver,
            "learns who has the right, and until when",
        ),
        (M::ReleasesAnothersRight, "nobody gives back another's"),
        (M::ReleasesNothing, "given back is nobody's"),
        (M::RevisesWithEachCommit, "raises no revision"),
        (M::RevisesNothing, "raises the account's revision by one"),
        (M::RevisesEachCase, "raises no revision"),
        (M::ForgetsAllAtOnce, "than the limit says"),
        (M::HandsOutTheLatestFirst, "in the order of the log"),
        (
            M::HandsOutTwoOfACase,
            "of each case only the first open delivery",
        ),
        (M::ClaimsForEver, "comes again when its lease has ended"),
        (M::ClaimsInTwoSteps, "hidden"),
        (M::CountsNoAttempts, "how often it was claimed"),
        (M::LosesTheFailure, "why it failed last"),
        (
            M::ClearsTheFailure,
            "of each case only the first open delivery",
        ),
        (M::AcceptsStaleTokens, "nobody settles"),
        (
            M::TellsStaleTokensYes,
            "an account that was never used is empty",
        ),
        (M::KeepsTokensGivenBack, "once the delivery was given back"),
        (M::SettlesInAnyOrder, "an answer of its own, in their order"),
        (M::DropsHeld, "that a lease has ended does not matter"),
        (M::ComesAgainAfterAcknowledge, "never comes again"),
        (M::LiesAfterADrop, "after the future of an operation"),
        (M::KeepsHalfWhenDropped, "everything or nothing"),
        (
            M::DueByTheCommittersClock,
            "whatever the clock was when it was committed",
        ),
        (M::LeasesGoOnWhenTheClockIsSetBack, "the clock was set back"),
        (M::ReopensNothing, "has its own name"),
        (M::ReopensWhatNeverWas, "nothing is opened again"),
        (M::FindsTwice, "each once"),
    ] {
        match check(mistake).await {
            Ok(()) => wrong.push(format!("{mistake:?} is not found")),
            Err(found) if !found.to_string().contains(rule) => {
                wrong.push(format!("{mistake:?}: {found}"));
            }
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
