package bridgehead

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Streams returns the two streams of a treaty: out stores at From what is to cross,
// in stores at To what has. In sources out, and nothing publishes into it.
func Streams(t Treaty, cfg Config) (out, in jetstream.StreamConfig, err error) {
	if t, err = t.normal(); err != nil {
		return out, in, err
	}
	if cfg, err = cfg.normal(); err != nil {
		return out, in, err
	}
	// Limits and not WorkQueue: sourcing a work queue loses what was under way when
	// the link is cut.
	out = jetstream.StreamConfig{
		Name: "OUT_" + t.Name, Subjects: t.Subjects, Retention: jetstream.LimitsPolicy, MaxAge: cfg.Keep,
		Duplicates: min(2*time.Minute, cfg.Keep), Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
		Description: fmt.Sprintf("what crosses to %s (bridgehead)", t.To),
	}
	source := &jetstream.StreamSource{Name: out.Name, Domain: t.From}
	for _, s := range t.Subjects {
		source.SubjectTransforms = append(source.SubjectTransforms, jetstream.SubjectTransformConfig{
			Source: s, Destination: t.Prefix + "." + wildcards(s),
		})
	}
	in = jetstream.StreamConfig{
		Name: "IN_" + t.Name, Sources: []*jetstream.StreamSource{source}, Retention: jetstream.LimitsPolicy, MaxAge: cfg.Keep,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
		Description: fmt.Sprintf("what has crossed from %s (bridgehead)", t.From),
	}
	if cfg.Cluster != "" {
		out.Placement = &jetstream.Placement{Cluster: cfg.Cluster}
		in.Placement = out.Placement
	}
	return out, in, nil
}

// Export makes the stream of what is to cross, at From. Publish to the agreed
// subjects through JetStream: once stored, a message crosses, however long the link
// is down (but for Config.Keep).
func Export(ctx context.Context, js jetstream.JetStream, t Treaty, cfg Config) (jetstream.Stream, error) {
	out, _, err := Streams(t, cfg)
	if err != nil {
		return nil, err
	}
	return setup(ctx, js, out, cfg.Bind)
}

// Import makes the stream of what has crossed, at To, where it is consumed. The
// link need not be up.
func Import(ctx context.Context, js jetstream.JetStream, t Treaty, cfg Config) (jetstream.Stream, error) {
	_, in, err := Streams(t, cfg)
	if err != nil {
		return nil, err
	}
	return setup(ctx, js, in, cfg.Bind)
}

// ProvisionExport creates or updates the stream of [Export]. Nothing else here
// changes what exists.
func ProvisionExport(ctx context.Context, js jetstream.JetStream, t Treaty, cfg Config) error {
	out, _, err := Streams(t, cfg)
	if err != nil {
		return err
	}
	return provision(ctx, js, out)
}

// ProvisionImport creates or updates the stream of [Import].
func ProvisionImport(ctx context.Context, js jetstream.JetStream, t Treaty, cfg Config) error {
	_, in, err := Streams(t, cfg)
	if err != nil {
		return err
	}
	return provision(ctx, js, in)
}

func provision(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) error {
	_, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
	if err != nil {
		return fmt.Errorf("bridgehead: provision %s: %w", want.Name, err)
	}
	return nil
}

// ensure finds a stream or creates it; one that exists is compared, and never
// changed.
func setup(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, bind bool) (jetstream.Stream, error) {
	find := func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, want.Name) }
	s, err := callAPI(ctx, find)
	if errors.Is(err, jetstream.ErrStreamNotFound) && !bind {
		s, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateStream(ctx, want) })
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // someone else was quicker
			s, err = callAPI(ctx, find)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bridgehead: stream %s: %w", want.Name, err)
	}
	have := s.CachedInfo().Config
	for _, f := range []struct {
		name       string
		want, have any
	}{
		{"Subjects", want.Subjects, have.Subjects}, {"Retention", want.Retention, have.Retention},
		{"MaxAge", want.MaxAge, have.MaxAge}, {"Sources", sources(want), sources(have)},
	} {
		if !reflect.DeepEqual(f.want, f.have) {
			return nil, fmt.Errorf("%w: stream %s has %s %v, want %v; a Provision function changes it", ErrMismatch, want.Name, f.name, f.have, f.want)
		}
	}
	return s, nil
}

// sources tells where a stream takes what from, and what it makes of it.
func sources(c jetstream.StreamConfig) []string {
	var all []string
	for _, s := range c.Sources {
		api := ""
		if s.Domain != "" {
			api = "$JS." + s.Domain + ".API"
		} else if s.External != nil {
			api = s.External.APIPrefix
		}
		all = append(all, fmt.Sprint(s.Name, " ", api, " ", s.SubjectTransforms))
	}
	slices.Sort(all)
	return all
}
