// Package bridgehead stores messages of one site at another, over a link that
// fails, on the subjects of a route and no others.
//
// # Intent
//
// Each site works without the other. A message that is stored on a subject of a
// route at one site arrives at the other site once and in order, whenever the link
// is up.
//
// # Forces
//
//   - Links between sites are down for minutes or days. The sites must not stop.
//   - A program that forwards messages must store its position at both sites.
//   - A message that crosses by accident, such as a secret or one that returns, is
//     worse than one that does not cross.
//
// # On NATS
//
// A [Route] is two streams. OUT_<name> stores the subjects of the route at From.
// IN_<name> at To sources it, over a leaf node connection with a JetStream domain
// on each side, or over gateways. The server stores its position in IN itself.
// Messages arrive under a prefix, so no subject that has arrived leaves again.
//
// [Permissions] keeps everything else back: the permissions of the user with which
// a leaf node connects, as server configuration. Core messages cross a leaf node
// connection wherever there is interest, and no client can prevent it. The package
// needs nats-server 2.10 (subject transforms of sources).
//
// # Guarantees
//
//   - Loss and duplication: a message that is stored on a subject of a route arrives
//     once, in both directions, during disconnects and server restarts (TestLink,
//     TestRestart). A route can be created while the link is down (TestLate).
//   - Loss: a message that waits for longer than MaxAge is lost (TestMaxAge).
//   - Order: messages arrive in the order of each subject (TestLink). Order between
//     subjects is not promised.
//   - Delay: not promised. The server can wait for up to 30 s before it sources
//     again after a disconnect, so TestLink waits for 40 s.
//   - Isolation: with [Permissions] nothing else crosses: no core message, no
//     request, no other stream (TestPermissions). Without them everything crosses
//     (TestNoPermissions).
//   - Loops: no message returns, also with the same subjects in both directions
//     (TestNoLoop). Routes that form a loop are refused (TestRoutes).
//   - Monitoring: the lag and the state of the link can be read at To
//     (TestReadLink).
//   - Clusters: the same holds between clusters that are joined by gateways
//     (TestClusters). Isolation needs an account for each site there.
//
// # Limits
//
//   - MaxAge is 7 days: the streams keep messages after they have crossed, and drop
//     them by age, crossed or not. Watch [Link].
//   - MaxBytes is unlimited by default. A full OUT refuses messages, and a full IN
//     stops sourcing until there is room (TestMaxBytes).
//   - The retention policy is limits: sourcing a workqueue stream loses the messages
//     in flight when the link is cut.
//   - A name, a domain and a token are 1 to 64 of A-Z a-z 0-9 _ - (TestRoutes).
//
// # When not to use it
//
//   - Publishers and consumers are in one cluster: a stream is enough.
//   - One stream is read in two places: use a mirror.
//   - Consumers move with the users: use the geo-affinity of queue groups in a
//     supercluster.
//
// # Related patterns
//
// eventstore and durable at each site: their streams can be the source of a route.
// Do not bridge the stream of a work queue.
//
// # Also known as
//
// Messaging Bridge (EIP); store and forward, edge synchronization, federation.
//
// # Kind
//
// Borders
package bridgehead
