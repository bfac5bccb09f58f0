package bridgehead

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports a name that cannot be one token of a subject.
	ErrID = errors.New("bridgehead: bad id")
	// ErrConfig reports a Config or a Treaty that makes no sense.
	ErrConfig = errors.New("bridgehead: bad config")
	// ErrLoop reports treaties by which a message could come back.
	ErrLoop = errors.New("bridgehead: treaties make a loop")
	// ErrMismatch reports a stream that exists but is not as the treaty needs it.
	ErrMismatch = errors.New("bridgehead: exists, but differs")
)

// Treaty is what two sites have agreed on: which subjects cross from one to the
// other. For both directions there are two.
type Treaty struct {
	Name     string   // of the streams, OUT_<name> at From and IN_<name> at To
	From, To string   // JetStream domains of the sites; both empty for clusters joined by gateways
	Subjects []string // what crosses, such as "orders.*.placed" or "orders.>"
	Prefix   string   // put before each subject on arrival; From if empty, required between clusters
}

// Config tunes both ends. The zero Config is ready to use.
type Config struct {
	Keep     time.Duration         // how long a message waits for a link that is down; 7 days if zero
	Cluster  string                // where the stream is placed, for clusters joined by gateways; anywhere if empty
	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of the stream; file if zero
	Bind     bool                  // never create the stream
	Metadata map[string]string     // put on the stream that is created
}

func (c Config) normal() (Config, error) {
	c.Keep = cmp.Or(c.Keep, 7*24*time.Hour)
	c.Replicas = cmp.Or(c.Replicas, 1)
	if c.Keep < time.Second {
		return c, fmt.Errorf("%w: Keep is %v; it must be at least 1s", ErrConfig, c.Keep)
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		return c, fmt.Errorf("%w: Replicas is %d; it must be from 1 to 5", ErrConfig, c.Replicas)
	}
	return c, nil
}

func (t Treaty) normal() (Treaty, error) {
	t.Prefix = cmp.Or(t.Prefix, t.From)
	if err := checkID(t.Name); err != nil {
		return t, fmt.Errorf("%w: Treaty.Name: %w", ErrConfig, err)
	}
	if (t.From == "") != (t.To == "") || t.From != "" && t.From == t.To {
		return t, fmt.Errorf("%w: From %q, To %q; name two domains, or none", ErrConfig, t.From, t.To)
	}
	for _, domain := range []string{t.From, t.To} {
		if err := checkID(domain); domain != "" && err != nil {
			return t, fmt.Errorf("%w: From, To: %w", ErrConfig, err)
		}
	}
	if t.Prefix == "" {
		return t, fmt.Errorf("%w: Prefix is empty; between clusters it has no default", ErrConfig)
	}
	for token := range strings.SplitSeq(t.Prefix, ".") {
		if err := checkID(token); err != nil {
			return t, fmt.Errorf("%w: Prefix: %w", ErrConfig, err)
		}
	}
	if len(t.Subjects) == 0 {
		return t, fmt.Errorf("%w: Subjects is empty; nothing would cross", ErrConfig)
	}
	for i, s := range t.Subjects {
		tokens := strings.Split(s, ".")
		for j, token := range tokens {
			if token != "*" && (token != ">" || j == 0 || j < len(tokens)-1) && checkID(token) != nil {
				return t, fmt.Errorf("%w: Subjects: %.80q; use tokens, * for one, and a last > after at least one", ErrConfig, s)
			}
		}
		for _, other := range t.Subjects[:i] {
			if overlap(s, other) {
				return t, fmt.Errorf("%w: Subjects: %s and %s overlap; a message would be taken twice", ErrConfig, s, other)
			}
		}
	}
	return t, meet(t, t)
}

// meet refuses two treaties by one of which arrives what leaves by the other.
func meet(in, out Treaty) error {
	for _, s := range in.Subjects {
		for _, other := range out.Subjects {
			if overlap(in.Prefix+"."+s, other) {
				return fmt.Errorf("%w: what %s brings to %s as %s.%s leaves by %s, as %s", ErrLoop, in.Name, in.To, in.Prefix, s, out.Name, other)
			}
		}
	}
	return nil
}

// Check refuses treaties that make no sense alone or together: what arrives at a
// site by one may not leave it by another.
func Check(treaties ...Treaty) error {
	for i, a := range treaties {
		a, err := a.normal()
		if err != nil {
			return err
		}
		for _, b := range treaties[:i] {
			b, err := b.normal()
			if err != nil {
				return err
			}
			if a.Name == b.Name {
				return fmt.Errorf("%w: two treaties are called %s", ErrConfig, a.Name)
			}
			for _, pair := range [][2]Treaty{{a, b}, {b, a}} {
				in, out := pair[0], pair[1]
				if err := meet(in, out); err != nil && in.To == out.From {
					return err
				}
			}
		}
	}
	return nil
}

// overlap reports whether a subject exists that both patterns match.
func overlap(a, b string) bool {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; i < len(x) && i < len(y); i++ {
		if x[i] == ">" || y[i] == ">" {
			return true
		}
		if x[i] != y[i] && x[i] != "*" && y[i] != "*" {
			return false
		}
	}
	return len(x) == len(y)
}
