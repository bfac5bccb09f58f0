package bridgehead

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Permissions returns the permissions of the user with which the leaf node of site
// connects to the hub, in the format of a server configuration:
//
//	accounts { SITES { jetstream: enabled, users: [
//	    { user: edge, password: …, permissions: <Permissions> } ] } }
//
// With them only what the routes need crosses the connection, in each direction: no
// other subject and no other stream. The publish permissions are for messages from the
// leaf node to the hub, the subscribe permissions for the other direction.
func Permissions(site string, routes ...Route) (string, error) {
	if err := Check(routes...); err != nil {
		return "", err
	}
	if len(routes) == 0 {
		return "", fmt.Errorf("%w: there is no route; a site without one needs no leaf node connection", ErrConfig)
	}
	// How a stream is sourced: the sourcing server creates a consumer of the stream. It
	// gets the reply on $JSC.R and the messages on $JS.S; $JS.FC is flow control.
	replies := []string{"$JS.S.>", "$JSC.R.>"}
	var publish, subscribe []string
	for _, r := range routes {
		if r.From == "" {
			return "", fmt.Errorf("%w: route %s is between clusters; use an account for each site there", ErrConfig, r.Name)
		}
		requests := []string{"$JS." + r.From + ".API.CONSUMER.CREATE.OUT_" + r.Name + ".>", "$JS.FC.OUT_" + r.Name + ".>"}
		switch site {
		case r.From:
			subscribe, publish = append(subscribe, requests...), append(publish, replies...)
		case r.To:
			publish, subscribe = append(publish, requests...), append(subscribe, replies...)
		default:
			return "", fmt.Errorf("%w: route %s is between %s and %s, not of %s", ErrConfig, r.Name, r.From, r.To, site)
		}
	}
	return fmt.Sprintf("{ publish: { allow: [%s] }, subscribe: { allow: [%s] } }", quoted(publish), quoted(subscribe)), nil
}

func quoted(subjects []string) string {
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	return `"` + strings.Join(subjects, `", "`) + `"`
}

// maxSilence is how long the source of a connected link is silent at most. It sends
// something every second.
const maxSilence = 3 * time.Second

// Link is the state of the link of a route, as seen at To.
type Link struct {
	Up       bool          // the source was active within the last 3s
	Silent   time.Duration // since the source was last active; negative if never
	Lag      uint64        // messages stored at From and not yet at To, when the source was last active
	Received uint64        // messages stored at To since the stream was created
}

// ReadLink returns the state of the link of a route. Call it at To.
func ReadLink(ctx context.Context, js jetstream.JetStream, r Route) (Link, error) {
	r, err := r.normal()
	if err != nil {
		return Link{}, err
	}
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, "IN_"+r.Name) })
	if err != nil {
		return Link{}, fmt.Errorf("bridgehead: stream IN_%s: %w", r.Name, err)
	}
	info := s.CachedInfo()
	if len(info.Sources) != 1 {
		return Link{}, fmt.Errorf("%w: stream IN_%s has %d sources, want 1", ErrMismatch, r.Name, len(info.Sources))
	}
	src := info.Sources[0]
	return Link{Up: src.Active >= 0 && src.Active < maxSilence, Silent: src.Active, Lag: src.Lag, Received: info.State.LastSeq}, nil
}
