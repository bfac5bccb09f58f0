// Package requestreply asks a question and gets the answer, or learns at once that
// there is nobody to ask.
//
// # Intent
//
// Call a service by subject, typed, within a deadline; get its answer, its refusal
// as an error with a code, or many answers from many services.
//
// # Forces
//
//   - Who asks needs to know when to stop waiting, and whether anybody was there.
//   - One slow request must not hold up those behind it.
//   - An answer that comes after the asker has gone must not answer the next
//     question.
//
// # On NATS
//
// [Request] sends JSON with an inbox to answer to, and the time it will wait in
// the header Request-Timeout. A [Responder] is a micro service: the nats CLI and
// other micro clients find it by $SRV.PING, INFO and STATS, and understand its
// refusals (the headers Nats-Service-Error and -Error-Code). Its endpoints share a
// queue group, so one instance answers, unless an endpoint is for [Endpoint.Each].
// Core NATS: a stored question would be answered when nobody waits any more.
//
// # Guarantees
//
//   - With no responder a Request fails at once, not at its deadline
//     (TestRequest/nobody_is_there). Every Request ends by its deadline
//     (TestRequest/the_answer_takes_too_long).
//   - A refusal arrives as an [Error] with code and text; any other failure of a
//     handler, a panic too, is a 500 that does not tell why (TestRequest).
//   - A late answer is discarded and never taken for another's (TestLateReply).
//   - A slow request does not hold up others, up to Limit at once (TestConcurrent).
//   - Under cuts and restarts a Request gets its own answer or an error; one that
//     failed may still have been carried out, and nothing repeats it (TestFaults).
//   - [All] yields what comes until it has Max, or nobody answers for Stall, or ctx
//     ends (TestAll). Answers come in no promised order (TestAll/in_no_order).
//   - A Responder that stops finishes what it has begun and answers the rest with
//     503 (TestStop).
//   - A Request on a subject that a stream captures is answered by the stream, and
//     fails with [ErrCaptured] (TestCaptured).
//
// # When not to use it
//
// When the work must be done even if you are gone, use package queueing. When you
// tell rather than ask, pubsub. When the answer is a long list, datapump.
//
// # Related patterns
//
// queueing keeps the question until somebody has time; controlplane collects the
// answers to a command; datapump streams large results.
//
// # Also known as
//
// Request-Reply, Return Address, Command Message, Remote Procedure Invocation
// (EIP); RPC, scatter-gather (All).
package requestreply
