// Package streaming aggregates a stream of events in tumbling windows, and stores
// each result once, with the state of the processor, in one atomic commit.
//
// # Intent
//
// Compute results from an endless stream of events while they arrive: filter,
// clean and enrich each event, and aggregate events by key and window.
//
// # Forces
//
//   - Events arrive late, and clocks of senders are wrong: no window is ever
//     known to be complete.
//   - A processor that crashes must not lose its windows, and must not count
//     events again.
//   - A processor that was replaced may still run, and must not store anything.
//
// # On NATS
//
// [Send] stores an event on feed.<flow>.<key> in the stream FEED_<flow>. The
// header Event-Time holds the time of the event. A [Processor] reads the feed in
// order with an ephemeral consumer, without acks. The stream RESULTS_<flow>
// stores its results on results.<flow>.<key>, refused events on
// refused.<flow>.<key>, open windows on state.<flow>.> and its position on
// state.<flow>.position. A commit is one atomic batch of these. It expects the
// sequence of the last position, which is a fencing token.
//
// A refused event has the headers Streaming-Reason, Streaming-Subject and
// Streaming-Sequence. The package needs nats-server 2.12 (atomic batch publish)
// and is tested with 2.15.
//
// # Guarantees
//
//   - Loss and duplication: each stored event counts once. It is in one result,
//     or refused with the reason, or skipped by Clean. This holds during
//     disconnects, crashes, restarts and lost acks (TestSweep,
//     TestSweepFindsStateless, TestLateAck).
//   - Loss: an event that is removed from the feed unread, for example by
//     MaxAge, is counted as Missed (TestProcessor/events_removed). Full streams
//     refuse messages, and drop none (TestFull).
//   - Duplication: Send stores an ID once in 2 minutes
//     (TestProcessor/an_event_sent_twice). An event without an ID that is sent
//     twice counts twice (TestNotPromised).
//   - Fencing: the last Processor to Run takes over. Any other one can store
//     nothing more, and ends with ErrFenced (TestFenced).
//   - Lateness: the watermark is Lateness before the newest event. An event
//     counts in the window of its own time until the watermark passes the end of
//     that window. A later event is refused. A sender's clock that is ahead does
//     not make other events late (TestProcessor, TestClocks).
//   - Delay: a window closes with the next event after its end and Lateness.
//     Without events, it closes by the server's clock within Idle
//     (TestProcessor/the_clock_of_the_server).
//   - Order: the results of a key are stored in the order of their windows. The
//     events of one sender are added in the order in which it sent them
//     (TestOrder).
//   - Poison: an event that cannot be decoded, added or stored, or that causes a
//     panic, is refused and blocks no other event (TestProcessor, TestSums,
//     TestRefusedCopy).
//   - Recreation: Run ends with ErrRecreated if the feed ends before the last
//     processed event (TestRecreated).
//   - Shutdown: Run returns when its context ends. The next Processor processes
//     the uncommitted events (TestStopDuringClean). Run ends with an error if a
//     stream or the connection is gone (TestProcessorEnds).
//
// # Limits
//
//   - A recreated feed is not noticed if it already has as many messages as the
//     old one.
//   - The aggregate of a window must fit max_payload (1 MB by default) minus 4
//     KiB. Otherwise the event that enlarges it is refused (TestSums).
//   - While the feed is idle and windows are open, the watermark follows the
//     server's clock: events that are older than Lateness are refused from then
//     on. To process old events, send them before Run, or raise Lateness.
//   - All open windows are in the memory of the Processor. One Processor works
//     per flow: for more throughput, use several flows.
//   - A copy of a refused event that does not fit max_payload, or has more than
//     60,000 bytes of headers, has no data and headers. It has the header
//     Streaming-Truncated (TestRefusedCopy).
//   - MaxBytes is unlimited by default. When RESULTS_<flow> is full, the
//     Processor waits, and retries its commit every 2 seconds (TestFull).
//   - Clean must return when its context ends, and Add must be fast: Run waits
//     for them.
//   - A flow, a key and an ID are 1 to 64 of A-Z a-z 0-9 _ - (TestBadInput).
//
// # When not to use it
//
//   - Each event is processed alone: use queueing.
//   - Joins over terabytes of state: use a stream processor such as Flink.
//
// # Related patterns
//
// sse sends the results to browsers. eventstore stores the history of entities.
// queueing distributes independent jobs. perkey keeps the order of each key.
//
// # Also known as
//
// Aggregator, Message Filter, Content Enricher, Transactional Client (EIP);
// stream processing, windowed aggregation, tumbling windows.
//
// # Kind
//
// Streams
package streaming
