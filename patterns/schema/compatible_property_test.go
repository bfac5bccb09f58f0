package schema_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/natspatterns/catalog/patterns/schema"
)

// field is a field of a random type.
type field struct {
	json, tag string
	optional  bool
	kind      reflect.Type
	value     *rapid.Generator[any]
}

func values[T any](g *rapid.Generator[T]) *rapid.Generator[any] {
	return rapid.Map(g, func(v T) any { return v })
}

var kinds = rapid.SampledFrom([]field{
	{kind: reflect.TypeFor[string](), value: values(rapid.String())},
	{kind: reflect.TypeFor[string](), tag: "minLength=2", value: values(rapid.StringN(2, 9, -1))},
	{kind: reflect.TypeFor[string](), tag: "enum=x,enum=y", value: values(rapid.SampledFrom([]string{"x", "y"}))},
	{kind: reflect.TypeFor[string](), tag: "enum=x,enum=y,enum=z", value: values(rapid.SampledFrom([]string{"x", "y", "z"}))},
	{kind: reflect.TypeFor[int64](), value: values(rapid.Int64())},
	{kind: reflect.TypeFor[int64](), tag: "minimum=1,maximum=9", value: values(rapid.Int64Range(1, 9))},
	{kind: reflect.TypeFor[int8](), value: values(rapid.Int8())},
	{kind: reflect.TypeFor[uint64](), value: values(rapid.Uint64())},
	{kind: reflect.TypeFor[float64](), value: values(rapid.Float64Range(-1e300, 1e300))},
	{kind: reflect.TypeFor[float32](), value: values(rapid.Float32Range(-1e30, 1e30))},
	{kind: reflect.TypeFor[bool](), value: values(rapid.Bool())},
	{kind: reflect.TypeFor[time.Time](), value: values(rapid.Map(rapid.Int64Range(0, 4e9), func(s int64) time.Time { return time.Unix(s, s%1e9).UTC() }))},
	{kind: reflect.TypeFor[[]byte](), value: values(rapid.SliceOf(rapid.Byte()))},
	{kind: reflect.TypeFor[[]string](), value: values(rapid.SliceOf(rapid.String()))},
	{kind: reflect.TypeFor[[]int8](), value: values(rapid.SliceOf(rapid.Int8()))},
	{kind: reflect.TypeFor[[2]string](), value: rapid.Just[any]([2]string{"p", "q"})},
	{kind: reflect.TypeFor[map[string]int8](), value: values(rapid.MapOf(rapid.StringMatching("[a-cA]"), rapid.Int8()))},
	{kind: reflect.TypeFor[map[string]string](), value: values(rapid.MapOf(rapid.StringMatching("[a-cA]"), rapid.String()))},
	{kind: reflect.TypeFor[any](), value: values(rapid.Int64())},
	{kind: reflect.TypeFor[map[int]string](), value: values(rapid.MapOf(rapid.IntRange(0, 9), rapid.String()))},
})

// fields draws up to four fields, some like those of old.
func fields(t *rapid.T, old []field, deep int) (fs []field) {
	for _, name := range []string{"a", "b", "c", "A"} {
		var f field
		was := rapid.IntRange(0, 9).Draw(t, "was")
		if was < 8 && len(old) > 0 {
			for _, o := range old {
				if o.json == name {
					f = o
				}
			}
			if f.json == "" && was > 0 {
				continue
			}
		} else if name == "A" && was < 9 {
			continue
		}
		if f.json == "" || was == 0 {
			f = kinds.Draw(t, "kind")
			if deep > 0 && rapid.IntRange(0, 3).Draw(t, "nested") == 0 {
				f = nest(t, deep)
			}
		}
		f.json = name
		f.optional = (f.optional || was == 1) && was != 2
		fs = append(fs, f)
	}
	return fs
}

func nest(t *rapid.T, deep int) field {
	fs := fields(t, nil, deep-1)
	typ := structOf(fs)
	return field{kind: typ, value: rapid.Custom(func(t *rapid.T) any { return fill(t, typ, fs).Interface() })}
}

func structOf(fs []field) reflect.Type {
	var out []reflect.StructField
	for i, f := range fs {
		omit := ""
		if f.optional {
			omit = ",omitzero"
		}
		out = append(out, reflect.StructField{Name: fmt.Sprint("F", i), Type: f.kind, Tag: reflect.StructTag(fmt.Sprintf(`json:"%s%s" jsonschema:"%s"`, f.json, omit, f.tag))})
	}
	return reflect.StructOf(out)
}

func fill(t *rapid.T, typ reflect.Type, fs []field) reflect.Value {
	v := reflect.New(typ).Elem()
	for i, f := range fs {
		if !f.optional || rapid.Bool().Draw(t, "sent") {
			v.Field(i).Set(reflect.ValueOf(f.value.Draw(t, f.json)))
		}
	}
	return v
}

// meeting is a reader of one type, and a document of another type.
type meeting struct {
	reader, writer schema.Generated
	doc            []byte
}

func (m meeting) GoString() string {
	return fmt.Sprintf("reader %s\nwriter %s\n%s", m.reader.Schema(), m.writer.Schema(), m.doc)
}

var meetings = rapid.Custom(func(t *rapid.T) (m meeting) {
	old := fields(t, nil, 2)
	next := fields(t, old, 2)
	if rapid.Bool().Draw(t, "backward") {
		old, next = next, old
	}
	m.reader, m.writer = must(schema.Generate(structOf(old))), must(schema.Generate(structOf(next)))
	m.doc = must(json.Marshal(fill(t, structOf(next), next).Interface()))
	return m
})

// changed reports whether v, read from doc, differs from doc in a field that both have.
func changed(doc []byte, v any) bool {
	parse := func(data []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			panic(err)
		}
		return v
	}
	var differ func(sent, read any) bool
	differ = func(sent, read any) bool {
		s, sok := sent.(map[string]any)
		r, rok := read.(map[string]any)
		if !sok || !rok {
			return !reflect.DeepEqual(sent, read)
		}
		for name, value := range r {
			if was, ok := s[name]; !ok || differ(was, value) {
				return true
			}
		}
		return false
	}
	return differ(parse(doc), parse(must(json.Marshal(v))))
}

// If Compatible finds no incompatibility, the reader reads every document of the writer,
// and each field with its value.
func TestCompatibleHolds(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue {
		require.NoError(t, checks.Value.Set("200"))
	}
	require.NoError(t, flag.Set("rapid.nofailfile", "true"))
	counts := map[bool]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := meetings.Draw(t, "meeting")
		if err := m.writer.Strictly(m.doc); err != nil {
			t.Fatalf("a type does not follow its own schema: %v", err)
		}
		err := schema.Compatible(m.reader.Schema(), m.writer.Schema())
		if counts[err == nil]++; err == nil {
			v, err := m.reader.Read(m.doc)
			if err != nil {
				t.Fatalf("compatible, yet not read: %v", err)
			}
			if changed(m.doc, v) {
				t.Fatalf("compatible, yet read as %+v", v)
			}
		}
		if schema.CompatibleStrictly(m.reader.Schema(), m.writer.Schema()) == nil && m.reader.Strictly(m.doc) != nil {
			t.Fatal("strictly compatible, yet refused")
		}
	})
	t.Logf("%d pairs compatible, %d not", counts[true], counts[false])
	require.Greater(t, min(counts[true], counts[false]), 20)
}

// The mutant unmarshals without validation: it reads a part of the documents with wrong
// values, and without an error.
func TestBlindReader(t *testing.T) {
	var silent, refused, falseAlarms int
	for i := range 100 {
		m := meetings.Example(i)
		_, err := m.reader.Read(m.doc)
		v, blind := m.reader.ReadBlindly(m.doc)
		misread := blind == nil && changed(m.doc, v)
		compatible := schema.Compatible(m.reader.Schema(), m.writer.Schema()) == nil
		require.False(t, compatible && (misread || err != nil), "%#v", m)
		switch {
		case misread:
			silent++
		case blind != nil:
			refused++
		case !compatible:
			falseAlarms++ // this document does not show why
		}
	}
	t.Logf("of 100 documents, %d misread without an error, %d refused; %d read correctly though incompatible", silent, refused, falseAlarms)
	require.Greater(t, silent, 8)
}
