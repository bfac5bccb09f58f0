// Package sse sends the messages of a stream to browsers by Server-Sent Events,
// and resumes each browser after a disconnect where it stopped.
//
// # Intent
//
// Show what happens on a web page, live. A browser needs only EventSource, and
// misses nothing while it is disconnected.
//
// # Forces
//
//   - Browsers disconnect and reconnect at any time, and to any server.
//   - One browser that does not read must not delay the others.
//   - A consumer for each browser costs the NATS server memory and traffic.
//   - Every web page on the internet can send requests to a local server.
//
// # On NATS
//
// A [Server] reads one stream of any pattern with one ephemeral ordered consumer,
// for all of its clients. The id of an event is the sequence of its message. A
// browser sends the id of its last event in Last-Event-ID when it reconnects. The
// Server then reads the missed messages from the leader of the stream, and adds
// the browser to its live clients. A [Route] selects the subject for a request.
//
// Any number of Servers can serve one stream. JetStream is needed for the
// sequences and the missed messages. The package is tested with nats-server 2.15.
//
// # Guarantees
//
//   - Loss and duplication: a browser that sends Last-Event-ID receives each
//     later event of its subject once, from any Server, during disconnects and
//     restarts (TestServer, TestResume, TestWhileCatchingUp, TestServerBehind).
//   - Loss: a message that the stream has dropped is not replayed
//     (TestNotPromised).
//   - Order: events arrive in stream order (TestResume).
//   - Delay: a client that does not read is disconnected, and does not delay the
//     others (TestSlowClient, BenchmarkStalledClient).
//   - Silence: a client stays connected when there are no events (TestSilence).
//     It receives a comment after KeepAlive (TestServer).
//   - Security: pages of other origins cannot read, also by DNS rebinding
//     (TestAdmission). A Route cannot select more than the subject of the Server
//     (TestServerLimits). Data cannot forge fields or events (TestServer).
//   - Capacity: at most MaxClients are served. A further browser reconnects
//     later (TestServerLimits).
//   - Shutdown: Run disconnects every client and waits for its last write, but
//     not for a replay (TestEndsWhileCatchingUp). Run ends with an error if the
//     stream or the connection is gone (TestServerEnds).
//
// # Limits
//
//   - The id tells nothing about the stream: a recreated stream is noticed only
//     if it ends before the browser's last event. The browser then receives it
//     from the start (TestServer). A running Server does not notice it.
//   - A replay reads one message per round trip.
//   - A browser opens at most 6 connections to a host with HTTP/1.1. Use HTTP/2
//     for several event streams on several tabs.
//   - Each client can buffer Buffer events in memory. There is no limit in bytes.
//   - Run outlives its context by at most WriteTimeout.
//   - There is no authentication. Wrap the Server in a handler that checks it.
//   - A stream name and a path value are 1 to 64 of A-Z a-z 0-9 _ -
//     (TestBadInput, TestAdmission).
//
// # When not to use it
//
//   - The browser sends messages too: use WebSockets.
//   - A lost event costs nothing, and nothing is stored: use a handler with a
//     core NATS subscription.
//
// # Related patterns
//
// streaming computes results that can be served here. eventstore stores events
// that can be served here. pubsub publishes to services. durable resumes a
// service where it stopped.
//
// # Also known as
//
// Channel Adapter, Durable Subscriber (EIP); server-sent events, EventSource,
// HTTP streaming, server push.
//
// # Kind
//
// Streams
package sse
