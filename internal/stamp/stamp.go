package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// declaration is one top-level declaration: a function, method, type, constant or
// variable. A method has the name of its type, so that it is copied with it.
type declaration struct {
	name    string
	file    string            // of the copy
	source  string            // with its comment
	uses    map[string]bool   // names outside of it
	imports map[string]string // path by name, of its file
}

// The generated files: one for the settings and the management of streams, consumers
// and buckets, and one for messages.
const (
	settingsFile = "shared.go"
	messagesFile = "shared_messages.go"
)

// copyOf returns the generated file for a file of internal/shared.
func copyOf(file string) string {
	switch path.Base(file) {
	case "config.go", "api.go", "ensure.go", "bucket.go":
		return settingsFile
	}
	return messagesFile
}

// stamp returns the generated files of the pattern in dir by name; nil for a file of
// which the pattern uses nothing.
func stamp(root fs.FS, dir string, decls []declaration) (map[string][]byte, error) {
	used, err := closure(root, dir, decls)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, file := range []string{settingsFile, messagesFile} {
		files[file], err = render(path.Base(dir), slices.DeleteFunc(slices.Clone(decls), func(d declaration) bool {
			return d.file != file || !used[d.name]
		}))
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// closure returns the names that the pattern uses, and those that these declarations
// use in turn.
func closure(root fs.FS, dir string, decls []declaration) (map[string]bool, error) {
	used, declared, err := namesOf(root, dir)
	if err != nil {
		return nil, err
	}
	names := slices.Collect(maps.Keys(used))
	for len(names) > 0 {
		next := names[0]
		names = names[1:]
		for _, d := range decls {
			if d.name != next {
				continue
			}
			for name := range d.uses {
				if !used[name] && !declared[name] {
					used[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return used, nil
}

// render returns a file of package name with decls, or nil if there are none.
func render(name string, decls []declaration) ([]byte, error) {
	if len(decls) == 0 {
		return nil, nil
	}
	imports := map[string]bool{}
	var body strings.Builder
	for _, d := range decls {
		fmt.Fprintf(&body, "\n%s\n", strings.ReplaceAll(d.source, `"shared: `, `"`+name+`: `))
		for alias, path := range d.imports {
			if d.uses[alias] {
				imports[path] = true
			}
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Code generated from internal/shared by make stamp; DO NOT EDIT.\n\npackage %s\n\nimport (\n", name)
	sorted := slices.Sorted(maps.Keys(imports))
	for _, std := range []bool{true, false} {
		for _, p := range sorted {
			if std != strings.Contains(p, ".") {
				fmt.Fprintf(&b, "%q\n", p)
			}
		}
		fmt.Fprintln(&b)
	}
	fmt.Fprintf(&b, ")\n%s", body.String())
	return format.Source(b.Bytes())
}

// readShared returns the declarations of internal/shared, by file and place. The
// doc.go is not copied: each pattern declares what stands there itself.
func readShared(root fs.FS) ([]declaration, error) {
	var decls []declaration
	err := eachFile(root, "internal/shared", func(file string, fset *token.FileSet, f *ast.File, src []byte) {
		imports := map[string]string{}
		for _, imp := range f.Imports {
			p, _ := strconv.Unquote(imp.Path.Value) // the parser has accepted it
			imports[strings.TrimSuffix(path.Base(p), ".go")] = p
		}
		for _, d := range f.Decls {
			if name := nameOf(d); name != "" && f.Doc == nil {
				source := src[fset.Position(start(d)).Offset:fset.Position(d.End()).Offset]
				decls = append(decls, declaration{name, copyOf(file), string(source), references(f, d), imports})
			}
		}
	})
	return decls, err
}

// namesOf returns the names that a package uses and does not declare, and those that
// it declares.
func namesOf(root fs.FS, dir string) (used, declared map[string]bool, err error) {
	used, declared = map[string]bool{}, map[string]bool{}
	err = eachFile(root, dir, func(_ string, _ *token.FileSet, f *ast.File, _ []byte) {
		maps.Copy(used, references(f, f))
		for name := range f.Scope.Objects {
			declared[name] = true
		}
	})
	maps.DeleteFunc(used, func(name string, _ bool) bool { return declared[name] })
	return used, declared, err
}

// eachFile parses the files of a package, without tests and without what is stamped.
func eachFile(root fs.FS, dir string, do func(string, *token.FileSet, *ast.File, []byte)) error {
	files, err := fs.Glob(root, dir+"/*.go")
	if err != nil {
		return err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || path.Base(file) == settingsFile || path.Base(file) == messagesFile {
			continue
		}
		src, err := fs.ReadFile(root, file)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, src, parser.ParseComments)
		if err != nil {
			return err
		}
		do(file, fset, f, src)
	}
	return nil
}

// references returns the names in n that are not local: of the package or of imports.
func references(f *ast.File, n ast.Node) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(n, func(x ast.Node) bool {
		switch x := x.(type) {
		case *ast.FuncDecl:
			if x.Recv != nil { // the name of a method is none of the package
				maps.Copy(names, references(f, x.Recv))
				maps.Copy(names, references(f, x.Type))
				if x.Body != nil {
					maps.Copy(names, references(f, x.Body))
				}
				return false
			}
		case *ast.SelectorExpr:
			ast.Inspect(x.X, func(y ast.Node) bool {
				if id, ok := y.(*ast.Ident); ok {
					maps.Copy(names, references(f, id))
				}
				return true
			})
			return false
		case *ast.Ident:
			if x.Obj == nil || f.Scope.Objects[x.Name] == x.Obj {
				names[x.Name] = true
			}
		}
		return true
	})
	return names
}

// nameOf returns the name of a declaration, and of a method that of its type.
func nameOf(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
		t := d.Recv.List[0].Type
		if star, ok := t.(*ast.StarExpr); ok {
			t = star.X
		}
		if generic, ok := t.(*ast.IndexExpr); ok {
			t = generic.X
		}
		if id, ok := t.(*ast.Ident); ok {
			return id.Name
		}
	case *ast.GenDecl:
		switch s := d.Specs[0].(type) {
		case *ast.TypeSpec:
			return s.Name.Name
		case *ast.ValueSpec:
			return s.Names[0].Name
		}
	}
	return ""
}

func start(d ast.Decl) token.Pos {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil {
			return d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			return d.Doc.Pos()
		}
	}
	return d.Pos()
}
