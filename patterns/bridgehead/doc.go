// Package bridgehead lets sites exchange what they have agreed on, over a link that
// fails, and nothing else.
//
// # Intent
//
// Each site works on its own; what is stored on agreed subjects at one arrives at
// the other, once and in order, whatever the link did meanwhile.
//
// # Forces
//
//   - Links between sites are cut, for minutes or days; sites must not stop for it.
//   - Who forwards by a program has to remember how far it got, on both sides.
//   - What crosses by accident (a secret, or a message that comes back) is worse
//     than what does not cross.
//
// # On NATS
//
// A [Treaty] is two streams. OUT_<name> captures the agreed subjects at From;
// IN_<name> at To sources it, over a leaf node connection with a JetStream domain on
// each side, or over gateways. The server remembers in IN itself how far it got.
// Messages arrive under a prefix of their own, so nothing that has arrived is on a
// subject that leaves. [Border] is what keeps all else back: the permissions of the
// user by which a leaf node logs in, as server configuration, because core subjects
// cross a leaf connection wherever there is interest and no client can prevent it.
//
// # Guarantees
//
//   - What is stored on an agreed subject arrives once, in order per subject, in
//     both directions, through cuts and restarts; sites work on meanwhile (TestLink,
//     TestRestart), and a treaty may be made while the link is down (TestLate).
//   - With the border in force nothing else crosses: no core subject, no request, no
//     other stream (TestBorder); without it everything does (TestNoBorder).
//   - Nothing comes back, even with the same subjects agreed both ways (TestNoLoop);
//     treaties that would make a loop are refused (TestTreaty).
//   - Lag and the state of the link can be read at To (TestRead).
//   - Between clusters joined by gateways the same holds of what is agreed
//     (TestClusters); the border there is an account for each site.
//   - Not promised: what waits for longer than Keep is lost (TestKeep); order between
//     subjects; when it arrives. A link that is cut in the very moment in which the
//     server asks for what it missed is asked again after 30s (TestLink waits 40).
//
// # When not to use it
//
// Within one cluster a stream is enough. To have the same stream in two places to
// read, use a mirror. To move consumers with the users, see the geo-affinity of
// queue groups in a supercluster.
//
// # Related patterns
//
// eventstore and queueing at each site; bridge their event streams, never a work
// queue: sourcing one loses what was under way when the link is cut.
//
// # Also known as
//
// Messaging Bridge (EIP); store and forward, edge sync, federation, anti-corruption
// border.
package bridgehead
