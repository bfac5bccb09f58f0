package bridgehead

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Border returns the permissions of the user by which site, a leaf node, logs in
// at the hub, as the text of a server configuration:
//
//	accounts { SITES { jetstream: enabled, users: [
//	    { user: edge, password: …, permissions: <Border> } ] } }
//
// With them nothing crosses but what the treaties need: neither other subjects nor
// other streams, in neither direction. What is permitted to be published is so from
// the leaf to the hub, and subscribed the other way.
func Border(site string, treaties ...Treaty) (string, error) {
	if err := Check(treaties...); err != nil {
		return "", err
	}
	if len(treaties) == 0 {
		return "", fmt.Errorf("%w: no treaty; a site without one needs no leaf connection", ErrConfig)
	}
	// How a stream is sourced: whoever sources asks for a consumer of the stream, is
	// answered on $JSC.R and sent the messages on $JS.S; $JS.FC paces them.
	answers := []string{"$JS.S.>", "$JSC.R.>"}
	var publish, subscribe []string
	for _, t := range treaties {
		if t.From == "" {
			return "", fmt.Errorf("%w: treaty %s is between clusters: there the border is an account for each site", ErrConfig, t.Name)
		}
		asks := []string{"$JS." + t.From + ".API.CONSUMER.CREATE.OUT_" + t.Name + ".>", "$JS.FC.OUT_" + t.Name + ".>"}
		switch site {
		case t.From:
			subscribe, publish = append(subscribe, asks...), append(publish, answers...)
		case t.To:
			publish, subscribe = append(publish, asks...), append(subscribe, answers...)
		default:
			return "", fmt.Errorf("%w: treaty %s is not %s's: it is between %s and %s", ErrConfig, t.Name, site, t.From, t.To)
		}
	}
	return fmt.Sprintf("{ publish: { allow: [%s] }, subscribe: { allow: [%s] } }", quoted(publish), quoted(subscribe)), nil
}

func quoted(subjects []string) string {
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	return `"` + strings.Join(subjects, `", "`) + `"`
}

// wildcards writes a pattern as the destination of a subject transform, which takes
// the tokens that its wildcards matched.
func wildcards(pattern string) string {
	tokens, n := strings.Split(pattern, "."), 0
	for i, token := range tokens {
		if token == "*" {
			n++
			tokens[i] = fmt.Sprintf("{{wildcard(%d)}}", n)
		}
	}
	return strings.Join(tokens, ".")
}

// silence is how long a source is silent only when its link is down: it is heard
// every second.
const silence = 3 * time.Second

// Link is the state of a treaty's link, as To sees it.
type Link struct {
	Up      bool          // heard within the last 3s
	Silent  time.Duration // since From was last heard; negative if never
	Lag     uint64        // messages stored at From that have not crossed, when it was last heard
	Crossed uint64        // messages that have, since the stream was made
}

// Read returns the state of a treaty's link, at To.
func Read(ctx context.Context, js jetstream.JetStream, t Treaty) (Link, error) {
	t, err := t.normal()
	if err != nil {
		return Link{}, err
	}
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, "IN_"+t.Name) })
	if err != nil {
		return Link{}, fmt.Errorf("bridgehead: stream IN_%s: %w", t.Name, err)
	}
	info := s.CachedInfo()
	if len(info.Sources) != 1 {
		return Link{}, fmt.Errorf("%w: stream IN_%s has %d sources, want 1", ErrMismatch, t.Name, len(info.Sources))
	}
	src := info.Sources[0]
	return Link{Up: src.Active >= 0 && src.Active < silence, Silent: src.Active, Lag: src.Lag, Crossed: info.State.LastSeq}, nil
}
