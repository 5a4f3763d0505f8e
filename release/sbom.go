package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// bill lists what is in a binary, in CycloneDX: the Go modules as the linker recorded them, and the Java libraries in
// the JARs that the binary carries.
func (r *release) bill(binary, arch string) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	sum, err := sumOf(binary)
	if err != nil {
		return nil, err
	}
	components := []cdx.Component{{Type: cdx.ComponentTypePlatform, Name: "go", Version: strings.TrimPrefix(info.GoVersion, "go"),
		BOMRef: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go"), PackageURL: "pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		purl := "pkg:golang/" + m.Path + "@" + m.Version
		components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, BOMRef: purl, PackageURL: purl})
	}
	java, err := r.javaComponents()
	if err != nil {
		return nil, err
	}
	components = append(components, java...)
	slices.SortFunc(components, func(a, b cdx.Component) int { return strings.Compare(a.BOMRef, b.BOMRef) })
	id := sha256.Sum256([]byte(sum))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80 // a UUID of version 8: the same for the same binary
	bom := cdx.NewBOM()
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format("2006-01-02T15:04:05Z"), Component: &cdx.Component{
		Type: cdx.ComponentTypeApplication, Name: "cloudjit", Version: r.version, BOMRef: "pkg:generic/cloudjit@" + r.version + "?arch=" + arch,
		Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		Hashes:   &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: sum}}}}
	bom.Components = &components
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// pom is what is read of Maven's files.
type pom struct {
	Properties struct {
		List []struct {
			XMLName xml.Name
			Value   string `xml:",chardata"`
		} `xml:",any"`
	} `xml:"properties"`
	Dependencies []struct {
		Group   string `xml:"groupId"`
		Name    string `xml:"artifactId"`
		Version string `xml:"version"`
		Scope   string `xml:"scope"`
	} `xml:"dependencies>dependency"`
}

// embedded are the libraries that are carried as they are, beside those that are compiled in.
var embedded = map[string]bool{"aws-lambda-java-serialization": true}

// javaComponents are the libraries inside the JARs that the binary carries, by the files that they are built from.
func (r *release) javaComponents() ([]cdx.Component, error) {
	read := func(name string) (pom, error) {
		var p pom
		text, err := os.ReadFile(filepath.Join(r.root, "java", name))
		if err == nil {
			err = xml.Unmarshal(text, &p)
		}
		return p, err
	}
	parent, err := read("pom.xml")
	if err != nil {
		return nil, err
	}
	var list []cdx.Component
	for _, module := range []string{"runtime", "tracer", "image"} {
		p, err := read(filepath.Join(module, "pom.xml"))
		if err != nil {
			return nil, err
		}
		for _, d := range p.Dependencies {
			if d.Scope != "" && d.Scope != "compile" && !embedded[d.Name] {
				continue
			}
			for _, property := range append(parent.Properties.List, p.Properties.List...) {
				d.Version = strings.ReplaceAll(d.Version, "${"+property.XMLName.Local+"}", property.Value)
			}
			if strings.Contains(d.Version, "${") {
				return nil, fmt.Errorf("java/%s/pom.xml: no value for the version of %s", module, d.Name)
			}
			purl := "pkg:maven/" + d.Group + "/" + d.Name + "@" + d.Version
			list = append(list, cdx.Component{Type: cdx.ComponentTypeLibrary, Group: d.Group, Name: d.Name, Version: d.Version, BOMRef: purl, PackageURL: purl})
		}
	}
	return list, nil
}

// debianBill lists the packages of a base, from dpkg's own list of them, and says for which architecture they are.
func (r *release) debianBill(status []byte, image string) (bill []byte, arch string, err error) {
	var components []cdx.Component
	for paragraph := range strings.SplitSeq(string(status), "\n\n") {
		values := map[string]string{}
		for line := range strings.Lines(paragraph) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(line, " ") {
				values[key] = value
			}
		}
		if values["Package"] == "" || !strings.HasSuffix(values["Status"], " installed") {
			continue
		}
		if values["Architecture"] != "all" {
			arch = values["Architecture"]
		}
		purl := fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s", values["Package"], values["Version"], values["Architecture"])
		components = append(components, cdx.Component{Type: cdx.ComponentTypeLibrary, Name: values["Package"], Version: values["Version"], BOMRef: purl, PackageURL: purl})
	}
	if len(components) == 0 {
		return nil, "", errors.New("the base has no list of installed packages (var/lib/dpkg/status)")
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: r.time.Format("2006-01-02T15:04:05Z"), Component: &cdx.Component{
		Type: cdx.ComponentTypeContainer, Name: "cloudjit", Version: r.version, BOMRef: "pkg:oci/cloudjit@" + image}}
	bom.Components = &components
	var b bytes.Buffer
	if err := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, "", err
	}
	return b.Bytes(), arch, nil
}
